"""The same over HTTP: the browser comes back to the gateway, and the client ends what it began."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from gateway.app import create_app
from gateway.settings import GatewaySettings
from services.identity.settings import IdentitySettings
from tests.databases import ServiceDatabase
from tests.harness import Trust
from tests.identity.conftest import running
from tests.identity.oauth.conftest import Strict, query_of

HOST = "https://api.example"
APP = "https://app.example/signed-in"
CALLBACK = "/api/v1/oauth/strict/callback"


@pytest.fixture
async def web(
    settings: tuple[IdentitySettings, ServiceDatabase], trust: Trust, strict: Strict, tmp_path: Path
) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway before an identity whose provider sends browsers back to that gateway."""
    configured, database = settings
    provider = strict.provider(redirect_uris=(HOST + CALLBACK,))
    async with running(configured.model_copy(update={"oidc_providers": {"strict": provider}}), database, trust) as one:
        gateway, served = create_app(
            GatewaySettings(
                services={"identity": one.running.target},
                caller_key_file=tmp_path / "gateway.pem",
                oauth_app_url=APP,
                docs=False,
            )
        )
        async with httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url=HOST) as client:
            yield client
        await gateway.close()


async def log_in(
    web: httpx.AsyncClient, strict: Strict, prefix: str = "/api/v1/oauth/strict", **fields: str
) -> dict[str, str]:
    """What the client sends at the end, once the browser has been there and back."""
    begun = (await web.post(f"{prefix}:start", json={"redirect_uri": HOST + CALLBACK})).json()["authorization"]
    came_back = strict.consent(begun["authorization_url"])
    went_on = await web.get(CALLBACK, params=came_back)
    assert went_on.status_code == 303
    assert went_on.headers["location"].startswith(APP)
    arrived = query_of(went_on.headers["location"])
    assert arrived.pop("provider") == "strict"
    assert arrived["state"] == begun["state"]
    return {**arrived, "binding": begun["binding"]}


async def test_logging_in_and_linking_over_http(web: httpx.AsyncClient, strict: Strict) -> None:
    end = await log_in(web, strict)
    answer = await web.post("/api/v1/oauth/strict:complete", json=end)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    again = await web.post("/api/v1/oauth/strict:complete", json=end)
    assert again.status_code == 401
    assert again.json()["error"]["details"][0]["reason"] == "OAUTH_STATE_INVALID"

    web.headers["authorization"] = f"Bearer {answer.json()['tokens']['access_token']}"
    me = "/api/v1/users/me/identities"
    strict.rules(person={"sub": "another"})
    end = await log_in(web, strict, f"{me}/strict")
    linked = (await web.post(f"{me}/strict:link", json=end)).json()
    listed = (await web.get(me)).json()["identities"]
    assert linked["id"] == listed[0]["id"]
    assert (await web.post(f"{me}/{linked['id']}:unlink", json={})).status_code == 200
    last = await web.post(f"{me}/{listed[1]['id']}:unlink", json={})
    assert last.json()["error"]["details"][0]["reason"] == "LAST_WAY_TO_LOG_IN"


async def test_an_outage_says_when_to_try_again(web: httpx.AsyncClient, strict: Strict) -> None:
    end = await log_in(web, strict)
    strict.rules(broken={"/token": {"status": 500, "content": {}}})
    answer = await web.post("/api/v1/oauth/strict:complete", json=end)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "127.0.0.1" not in answer.text
