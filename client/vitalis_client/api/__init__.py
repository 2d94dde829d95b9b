"""The API as Python: `Vitalis`."""

import platform
from types import TracebackType
from typing import Self

import httpx

from vitalis_client.api.coaching import Coaching
from vitalis_client.api.health import Health
from vitalis_client.api.imports import Imports
from vitalis_client.api.labs import Labs
from vitalis_client.api.log_in import LogIn
from vitalis_client.api.onboarding import Onboarding
from vitalis_client.api.people import People
from vitalis_client.api.privacy import Privacy
from vitalis_client.api.records import Records
from vitalis_client.api.second_factors import SecondFactors
from vitalis_client.api.sharing import Sharing
from vitalis_client.http import TIMEOUT, Http
from vitalis_client.sessions import MemorySessions, Sessions
from vitalis_client.version import __version__

DEFAULT_URL = "http://127.0.0.1:8080"


class Vitalis(LogIn, People, SecondFactors, Imports, Records):
    """One person's view of one server.

    Every method raises VitalisError, of which NotLoggedIn and Unreachable are
    special cases. Lists are iterators that fetch page after page, the newest
    first. `person` is the id of somebody who shares with them; oneself without
    it. Dates are `datetime.date` or ISO 8601 text; instants in answers are
    aware datetimes in UTC; units are in the fields' names. An optional field
    that nobody measured is None.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        sessions: Sessions | None = None,
        timeout: httpx.Timeout | float | None = None,
    ) -> None:
        """`sessions` keeps the tokens: in memory by default, `FileSessions()` for those of the `vitalis` command.

        `timeout` in seconds is for every request but uploads. Raises ValueError for a URL that is none.
        """
        agent = f"vitalis-client/{__version__} python/{platform.python_version()}"
        super().__init__(Http(base_url, sessions or MemorySessions(), agent, httpx.Timeout(timeout or TIMEOUT)))
        self.sharing = Sharing(self._http)
        self.privacy = Privacy(self._http)
        self.onboarding = Onboarding(self._http)
        self.coaching = Coaching(self._http)
        self.health = Health(self._http)
        self.labs = Labs(self._http)

    @property
    def base_url(self) -> str:
        return self._http.base_url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections; the session lives on in its store."""
        self._http.close()
