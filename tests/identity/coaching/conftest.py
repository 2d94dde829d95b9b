"""Ada, who has a coaching profile."""

import pytest

from tests.identity.coaching.coached import Coached, coached
from tests.identity.conftest import Identity


@pytest.fixture
async def ada(identity: Identity) -> Coached:
    return await coached(identity.running)
