"""identity that takes every password for right, to see what a log-in costs besides its hash.

For the benchmark's own database, which goes away with it.
"""

from unittest.mock import patch

from services.identity import __main__ as identity
from services.identity.passwords import Passwords, Verdict
from services.kit.main import main


class NoHash(Passwords):
    async def verify(self, stored: str | None, password: str) -> Verdict:
        return Verdict(right=stored is not None)


if __name__ == "__main__":
    with patch.object(identity, "Passwords", NoHash):
        main(identity.SERVICE)
