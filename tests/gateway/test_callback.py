"""The browser that comes back from a provider."""

import asyncio
from urllib.parse import parse_qsl, urlsplit

import pytest

from gateway.callback import FORM
from tests.gateway.conftest import Client, MakeClient, MakeServer

URL = "/api/v1/oauth/apple/callback"
APP = "https://app.example/signed-in?from=vitalis"
BACK = {"code": "a code & more", "state": "s t", "iss": "https://accounts.example"}


@pytest.fixture
async def web(make_client: MakeClient) -> Client:
    return await make_client(oauth_app_url=APP)


async def test_it_goes_on_to_the_app_with_what_it_came_with(web: Client) -> None:
    for answer in (await web.get(URL, params=BACK), await web.post(URL, data=BACK)):
        assert (answer.status_code, answer.content) == (303, b"")
        location = answer.headers["location"]
        assert location.startswith(APP + "&")
        assert dict(parse_qsl(urlsplit(location).query)) == {"from": "vitalis", "provider": "apple", **BACK}
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_without_an_app_the_client_takes_it(make_client: MakeClient) -> None:
    answer = await (await make_client()).get(URL, params=BACK)
    assert (answer.status_code, answer.json()) == (200, {"provider": "apple", **BACK})
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


async def test_what_nobody_asked_for_is_left_out(web: Client) -> None:
    refused = {"error": "access_denied", "error_description": "call 555-1234", "state": "s", "user": '{"name": "Ada"}'}
    location = (await web.post(URL, data=refused)).headers["location"]
    assert dict(parse_qsl(urlsplit(location).query)) == {
        "from": "vitalis",
        "provider": "apple",
        "error": "access_denied",
        "state": "s",
    }


@pytest.mark.parametrize("name", ["redirect_uri", "next", "url", "return_to", "app_url"])
async def test_nobody_says_where_it_goes(name: str, web: Client) -> None:
    answer = await web.get(URL, params={**BACK, name: "https://evil.example/"})
    assert urlsplit(answer.headers["location"]).hostname == "app.example"
    assert "evil" not in answer.headers["location"]


async def test_a_value_cannot_leave_its_place(web: Client) -> None:
    answer = await web.get(URL, params={**BACK, "state": "x\r\nset-cookie: a=b&code=other#@evil.example"})
    assert "set-cookie" not in answer.headers
    parts = urlsplit(answer.headers["location"])
    assert (parts.hostname, parts.fragment) == ("app.example", "")
    assert dict(parse_qsl(parts.query))["code"] == BACK["code"]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "code=a",
        "state=s",
        "state=s&code=a&error=b",
        "state=s&code=a&code=b",
        "state=s&state=t&code=a",
        "state=s&code=%ff",
        f"state=s&code={'a' * 5000}",
        "state=s&code=a" + "&x=y" * 60,
    ],
)
async def test_what_no_provider_sends_is_refused(query: str, web: Client) -> None:
    answer = await web.get(f"{URL}?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]["details"][0]["reason"] == "INVALID_FIELD"
    assert "location" not in answer.headers


async def test_only_forms_of_a_size_are_read(web: Client) -> None:
    assert (await web.post(URL, json=BACK)).status_code == 400
    large = {**BACK, "x": "y" * 70_000}
    assert (await web.post(URL, data=large)).status_code == 413
    for method in ("PUT", "DELETE", "HEAD", "OPTIONS"):
        answer = await web.request(method, URL)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")


@pytest.mark.parametrize("path", ["/api/v1/oauth/Apple/callback", "/api/v1/oauth//callback", URL + "/", URL + ":x"])
async def test_other_paths_lead_nowhere(path: str, web: Client) -> None:
    assert (await web.get(path, params=BACK)).status_code == 404


async def test_a_form_that_does_not_end_is_not_awaited(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.callback.BODY_SECONDS", 0.1)
    address = (await make_server(oauth_app_url=APP)).base_url
    reader, writer = await asyncio.open_connection(address.host, address.port)
    head = f"POST {URL} HTTP/1.1\r\nhost: x\r\ncontent-type: {FORM}\r\ncontent-length: 1000\r\n\r\n"
    writer.write(f"{head}state=s".encode())
    assert b" 504 " in await reader.readline()
    writer.close()
    await writer.wait_closed()
