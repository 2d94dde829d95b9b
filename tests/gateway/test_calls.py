"""Requests and answers of unary RPCs, end to end."""

import pytest

from tests.gateway.conftest import Client
from tests.gateway.support import ADA, Backend


async def test_a_resource_is_answered_bare_with_proto_names_and_zeros(client: Client, backend: Backend) -> None:
    answer = await client.get("/api/v1/users/me/things/7")
    assert answer.status_code == 200
    thing = answer.json()
    assert thing["text"] == "echo"
    assert thing["count"] == 0
    assert "rating" not in thing
    assert thing["large_number"] == "0"
    assert answer.headers["etag"] == '"v1"'
    request = backend.things.requests[0]
    assert (request.user_id, request.id) == (ADA, "7")
