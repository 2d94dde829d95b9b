"""Somebody to be onboarded, and an administrator."""

import pytest

from tests.identity.conftest import Identity
from tests.identity.onboarding.admins import Admin
from tests.identity.onboarding.people import Onboarder, somebody


@pytest.fixture
async def admin(identity: Identity) -> Admin:
    return Admin(identity, await identity.make_person("root@example.com", role="admin"))


@pytest.fixture
async def ada(identity: Identity) -> Onboarder:
    return await somebody(identity)
