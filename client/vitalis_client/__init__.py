"""The Python SDK of Vitalis.

from vitalis_client import Vitalis

with Vitalis("http://127.0.0.1:8080") as api:
    api.log_in("ada@example.com", "correct horse battery staple")
    for day in api.days(start="2026-11-01"):
        print(day.date, day.steps)
"""

from vitalis_client.api import Vitalis
from vitalis_client.api.imports import ENDED
from vitalis_client.errors import NotLoggedIn, SecondFactorNeeded, Unreachable, Violation, VitalisError
from vitalis_client.sessions import FileSessions, MemorySessions, Session
from vitalis_client.version import __version__

__all__ = [
    "ENDED",
    "FileSessions",
    "MemorySessions",
    "NotLoggedIn",
    "SecondFactorNeeded",
    "Session",
    "Unreachable",
    "Violation",
    "Vitalis",
    "VitalisError",
    "__version__",
]
