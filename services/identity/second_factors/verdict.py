"""What comes of looking at a second factor."""

from datetime import timedelta
from typing import NamedTuple


class Verdict(NamedTuple):
    """Whether a second factor is right.

    `wait` is set if it was not looked at, because of wrong ones before it;
    `notice` names the mail that the person should get (notices.py).
    """

    right: bool
    wait: timedelta | None = None
    notice: str | None = None


WRONG = Verdict(False)
RIGHT = Verdict(True)
