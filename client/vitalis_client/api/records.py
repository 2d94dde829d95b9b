"""What was recorded: a part of `Vitalis`."""

from collections.abc import Iterator, Sequence
from datetime import date

from vitalis_client.api.area import Area
from vitalis_client.contract import routes
from vitalis_client.contract.models import Day, WearableActivity, WearableDaily, WearableSleep


class Records(Area):
    """Days, nights and workouts."""

    def days(
        self,
        start: date | str = "",
        end: date | str = "",
        *,
        preferred_sources: Sequence[str] = (),
        page_size: int = 0,
        person: str = "",
    ) -> Iterator[Day]:
        """Days from `start` to `end`, both included, each value from the most preferred source that has one."""
        params = _bounds(start, end) | {"preferred_sources": list(preferred_sources)}
        return self._http.pages(routes.LIST_DAYS, params, lambda page: page.days, page_size, person)

    def daily(
        self, start: date | str = "", end: date | str = "", *, source: str = "", page_size: int = 0, person: str = ""
    ) -> Iterator[WearableDaily]:
        """Daily rows as each source has them: several a day if there are several sources."""
        params = _bounds(start, end) | {"source": source}
        return self._http.pages(routes.LIST_WEARABLE_DAILY, params, lambda page: page.wearable_daily, page_size, person)

    def nights(
        self, start: date | str = "", end: date | str = "", *, source: str = "", page_size: int = 0, person: str = ""
    ) -> Iterator[WearableSleep]:
        """Nights by the date they ended on."""
        params = _bounds(start, end) | {"source": source}
        return self._http.pages(routes.LIST_WEARABLE_SLEEP, params, lambda page: page.wearable_sleep, page_size, person)

    def get_night(self, night_id: str) -> WearableSleep:
        """One night, with its raw data, which lists leave out."""
        return self._http.get(routes.GET_WEARABLE_SLEEP, id=night_id)

    def workouts(
        self,
        start: date | str = "",
        end: date | str = "",
        *,
        source: str = "",
        activity_type: str = "",
        page_size: int = 0,
        person: str = "",
    ) -> Iterator[WearableActivity]:
        """Workouts and other activities, by the date they began on."""
        params = _bounds(start, end) | {"source": source, "activity_type": activity_type}
        rows = routes.LIST_WEARABLE_ACTIVITY
        return self._http.pages(rows, params, lambda page: page.wearable_activities, page_size, person)

    def get_workout(self, workout_id: str) -> WearableActivity:
        """One workout, with its raw data, which lists leave out."""
        return self._http.get(routes.GET_WEARABLE_ACTIVITY, id=workout_id)


def _bounds(start: date | str, end: date | str) -> dict[str, str | list[str]]:
    return {"start_date": str(start), "end_date": str(end)}
