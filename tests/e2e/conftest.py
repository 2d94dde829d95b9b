"""All of Vitalis as separate processes, once for each worker of the test run."""

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import date

import pytest

from examples.apple_health import Truth, write_export
from local.postgres import temporary_directory
from local.runner import Stack
from tests.e2e.vitalis import Person

UPLOAD_LIMIT = 48 * 2**20
SETTINGS = {
    # Tests sign many people up from one address, and ask faster than a person would.
    "GATEWAY_PUBLIC_RATE": "10000/minute",
    "GATEWAY_RATE": "100000/minute",
    "GATEWAY_MAX_UPLOAD_BYTES": str(UPLOAD_LIMIT),
    "TRACKING_UPLOAD_MAX_BYTES": str(UPLOAD_LIMIT),
    "TRACKING_WORKER_STALLED_SECONDS": "2",
    "TRACKING_GRACE_SECONDS": "1",
    "TRACKING_LOG_FORMAT": "json",
}
# A process that is killed has to find everything again that was committed; a machine that loses power is not tested.
POSTGRES_SETTINGS = {"fsync": "off", "full_page_writes": "off"}


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with (
        temporary_directory() as directory,
        Stack(directory / "data", port=0, settings=SETTINGS, postgres_settings=POSTGRES_SETTINGS) as running,
    ):
        yield running


@pytest.fixture
def sign_up(stack: Stack) -> Iterator[Callable[[], Person]]:
    """`sign_up()` is somebody new."""
    with ExitStack() as people:
        yield lambda: people.enter_context(closing(Person(stack)))


@pytest.fixture
def ada(sign_up: Callable[[], Person]) -> Person:
    return sign_up()


@pytest.fixture(scope="session")
def export() -> tuple[bytes, Truth]:
    """A generated export of some weeks, and what it should come to."""
    return generate(40)


@pytest.fixture(scope="session")
def long_export() -> tuple[bytes, Truth]:
    """One that takes some seconds to read."""
    return generate(150)


def generate(days: int) -> tuple[bytes, Truth]:
    file = io.BytesIO()
    truth = write_export(file, days=days, seed=11, end=date(2026, 11, 18))
    return file.getvalue(), truth
