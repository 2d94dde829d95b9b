"""The routes that are no RPC, and browsers' rules."""

import re
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.app import create_app
from tests.gateway.conftest import Client, MakeClient
from tests.gateway.support import Backend, bearer, mint


async def test_health(client: Client, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.backend.HEALTH_MEMORY_SECONDS", 0.0)
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()["services"]) == (200, {"identity": True, "sample": True})
    await backend.set_health(serving=False)
    assert (await client.get("/readyz")).status_code == 503
    await backend.server.stop(None)
    assert (await client.get("/readyz")).json()["services"]["sample"] is False
    assert (await client.get("/healthz")).status_code == 200


async def test_the_description_is_served(client: Client) -> None:
    answer = await client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["openapi"] == "3.1.0"


async def test_the_api_page_needs_no_other_site(client: Client) -> None:
    page = await client.get("/docs")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "connect-src 'self'" in policy
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) == 4
    for link in links:
        if link.startswith("data:"):
            continue
        assert link.startswith("/docs/")
        asset = await client.get(link)
        assert asset.status_code == 200
        assert asset.headers["content-type"].startswith("text/")
        assert asset.headers["x-content-type-options"] == "nosniff"
    # No script stands in the page itself, so the policy needs no exception.
    assert re.findall(r"<script>|<style>|\son\w+=", page.text) == []
    assert '"/openapi.json"' in (await client.get("/docs/start.js")).text


async def test_the_api_page_can_be_left_out(make_client: MakeClient) -> None:
    client = await make_client(docs=False)
    assert (await client.get("/docs")).status_code == 404
    assert (await client.get("/openapi.json")).status_code == 200


PREFLIGHT = {
    "Origin": "https://app.example",
    "Access-Control-Request-Method": "PATCH",
    "Access-Control-Request-Headers": "authorization,if-match",
}


async def test_browsers_of_other_origins_may_not_call_by_default(client: Client) -> None:
    answer = await client.options("/api/v1/users/me/things/7", headers=PREFLIGHT)
    assert "access-control-allow-origin" not in answer.headers


async def test_origins_that_are_set_may_call(make_client: MakeClient, backend: Backend) -> None:
    client = await make_client(cors_origins="https://app.example, https://other.example")
    preflight = await client.options("/api/v1/users/me/things/7", headers=PREFLIGHT)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://app.example"
    headers = {**bearer(mint(backend.key)), "Origin": "https://app.example"}
    answer = await client.get("/api/v1/users/me/things/7", headers=headers)
    assert answer.status_code == 200
    assert "ETag" in answer.headers["access-control-expose-headers"]
    foreign = await client.get("/nothing", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in foreign.headers


async def test_a_line_a_request_and_nothing_personal(client: Client, backend: Backend) -> None:
    with capture_logs() as lines:
        await client.get("/api/v1/users/me/things/secret-id?user_id=secret-query")
        await client.get("/api/v1/secret-path?email=secret-email")
    assert [(line["route"], line["status"]) for line in lines] == [
        ("/api/v1/users/{user_id}/things/{id}", 400),
        ("none", 404),
    ]
    assert "secret" not in str(lines)
    assert client.headers["authorization"] not in str(lines)


async def test_a_fault_of_ours_is_logged_by_its_place(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("a person's secret")

    monkeypatch.setattr("gateway.decode.RequestDecoder.decode", fail)
    with capture_logs() as lines:
        answer = await client.get("/api/v1/users/me/things/7")
    assert answer.status_code == 500
    assert "secret" not in answer.text + str(lines)
    assert any("test_pages" in place for place in lines[0]["places"])


async def test_spans_continue_the_clients_trace(
    make_settings: object, make_client: MakeClient, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opentelemetry.sdk.trace import TracerProvider

    provider = TracerProvider()
    monkeypatch.setattr("gateway.observe.trace.get_tracer", lambda name: provider.get_tracer(name))
    client = await make_client(otlp_endpoint="http://127.0.0.1:1")
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    headers = {**bearer(mint(backend.key)), "traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}
    assert (await client.get("/api/v1/users/me/things/7", headers=headers)).status_code == 200
    assert backend.things.metadata["traceparent"].split("-")[1] == trace_id


def test_the_app_needs_its_key(tmp_path: Path, sample_set: Path) -> None:
    from gateway.settings import GatewaySettings

    settings = GatewaySettings(
        services={"identity": "x", "sample": "y"}, descriptor_set=sample_set, caller_key_file=tmp_path / "none"
    )
    with pytest.raises(FileNotFoundError):
        create_app(settings)
