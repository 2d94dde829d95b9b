"""What was recorded: days, nights, workouts."""

from starlette.requests import Request
from starlette.responses import Response

from tests.client.server.base import USER, Base, Place, bad_query, between, cut, find, reply
from vitalis.tracking.v1 import wearables_pb2


class Records(Base):
    """Has a month of days, and what a test puts into it."""

    def __init__(self) -> None:
        super().__init__()
        self.days = [wearables_pb2.Day(date=f"2026-10-{day:02d}", steps=day) for day in range(31, 0, -1)]
        self.nights: list[wearables_pb2.WearableSleep] = []
        self.workouts: list[wearables_pb2.WearableActivity] = []

    def places(self) -> list[Place]:
        return [
            *super().places(),
            ("GET", USER + "/days", self.list_days),
            ("GET", USER + "/wearable-sleep", self.list_nights),
            ("GET", USER + "/wearable-sleep/{id}", self.get_night),
            ("GET", USER + "/wearable-activities/{id}", self.get_workout),
            ("GET", USER + "/wearable-activities", self.list_workouts),
        ]

    async def list_days(self, request: Request) -> Response:
        if problem := bad_query(request, wearables_pb2.ListDaysRequest):
            return problem
        rows, token = cut(request, between(request, self.days, "date"))
        return reply(wearables_pb2.ListDaysResponse(days=rows, next_page_token=token))

    async def list_nights(self, request: Request) -> Response:
        if problem := bad_query(request, wearables_pb2.ListWearableSleepRequest):
            return problem
        rows, token = cut(request, between(request, self.nights, "sleep_date"))
        return reply(wearables_pb2.ListWearableSleepResponse(wearable_sleep=rows, next_page_token=token))

    async def get_night(self, request: Request) -> Response:
        return reply(find(request, self.nights))

    async def get_workout(self, request: Request) -> Response:
        return reply(find(request, self.workouts))

    async def list_workouts(self, request: Request) -> Response:
        if problem := bad_query(request, wearables_pb2.ListWearableActivityRequest):
            return problem
        rows, token = cut(request, between(request, self.workouts, "activity_date"))
        return reply(wearables_pb2.ListWearableActivityResponse(wearable_activities=rows, next_page_token=token))
