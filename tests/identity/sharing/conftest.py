"""Identity with people who share."""

import pytest

from services.kit.caller import Caller
from tests.identity.conftest import Identity
from tests.identity.sharing.people import ADA, CARLA, EVE, Sharing


@pytest.fixture
def sharing(identity: Identity, settings: tuple[object, object]) -> Sharing:
    mailbox = getattr(settings[0], "mailbox", None)
    assert mailbox
    return Sharing(identity, mailbox)


@pytest.fixture
async def ada(sharing: Sharing) -> Caller:
    return await sharing.somebody(ADA, "Ada")


@pytest.fixture
async def carla(sharing: Sharing) -> Caller:
    return await sharing.somebody(CARLA, "Carla")


@pytest.fixture
async def eve(sharing: Sharing) -> Caller:
    return await sharing.somebody(EVE, "Eve")
