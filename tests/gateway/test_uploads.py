"""Files streamed into a service: raw, in a form, too large, broken off, refused half-way."""

import asyncio
import hashlib
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from services.kit.errors import ServiceError
from tests.gateway.conftest import Client, MakeClient, MakeServer
from tests.gateway.support import ADA, Backend, bearer, mint

FILES = "/api/v1/users/me/files"
MIB = 2**20


async def parts(total: int, size: int = 64 * 2**10) -> AsyncIterator[bytes]:
    """`total` bytes, in parts."""
    for start in range(0, total, size):
        yield bytes([start // size % 256]) * min(size, total - start)


async def digest_of(chunks: AsyncIterator[bytes]) -> str:
    digest = hashlib.sha256()
    async for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def raw(**headers: str) -> dict[str, str]:
    return {"Content-Type": "application/zip", **headers}


async def test_a_raw_body_arrives_whole_and_in_chunks(client: Client, backend: Backend) -> None:
    total = 3 * MIB + 17
    answer = await client.post(
        f"{FILES}?source=apple_health&file_name=export.zip",
        content=parts(total),
        headers=raw(**{"Idempotency-Key": "import-1"}),
    )
    found = answer.json()
    assert answer.status_code == 200
    assert found["size_bytes"] == total
    assert found["sha256"] == await digest_of(parts(total))
    assert (found["source"], found["file_name"]) == ("apple_health", "export.zip")
    assert (found["content_type"], found["request_id"]) == ("application/zip", "import-1")
    # The last message has no data.
    assert total // (320 * 2**10) < found["messages"] <= total // (256 * 2**10) + 2


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="export.zip"', "export.zip"),
        ("attachment; filename*=UTF-8''%C3%A9t%C3%A9.zip", "été.zip"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="C:\\\\health\\\\export.zip"', "export.zip"),
        ("attachment", ""),
        ("attachment; filename*=idna''export.zip", ""),
        ("attachment; filename*=punycode''%ff%ff", ""),
    ],
)
async def test_the_file_name_of_a_raw_body(client: Client, disposition: str, name: str) -> None:
    answer = await client.post(FILES, content=b"x", headers=raw(**{"Content-Disposition": disposition}))
    assert answer.json()["file_name"] == name


async def test_a_form_with_fields_before_its_file(client: Client) -> None:
    content = b"\r\n--boundary\r\n" * 1000 + b"\r\n-" * 99_999
    answer = await client.post(
        FILES, data={"source": "apple_health"}, files={"file": ("été/export.zip", content, "application/zip")}
    )
    found = answer.json()
    assert answer.status_code == 200
    assert found["sha256"] == hashlib.sha256(content).hexdigest()
    assert (found["source"], found["file_name"]) == ("apple_health", "export.zip")
    assert found["content_type"] == "application/zip"


async def test_the_querys_file_name_wins(client: Client) -> None:
    answer = await client.post(f"{FILES}?file_name=mine.zip", files={"file": ("other.zip", b"x")})
    assert answer.json()["file_name"] == "mine.zip"


async def test_an_empty_file_reaches_the_service(client: Client) -> None:
    for answer in (await client.post(FILES, content=b""), await client.post(FILES, files={"file": ("a", b"")})):
        assert (answer.json()["size_bytes"], answer.json()["messages"]) == (0, 2)


def form(*bodies: bytes, end: bytes = b"--b--\r\n") -> dict[str, Any]:
    content = b"".join(b"--b\r\nContent-Disposition: form-data; " + body + b"\r\n" for body in bodies) + end
    return {"content": content, "headers": {"Content-Type": "multipart/form-data; boundary=b"}}


FILE = b'name="file"; filename="a"\r\n\r\ndata'


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (form(FILE, b'name="source"\r\n\r\nx'), "source"),
        (form(FILE, b'name="file2"; filename="b"\r\n\r\ndata'), "file2"),
        (form(b'name="source"\r\n\r\nx'), "body"),
        (form(b'name="nothing"\r\n\r\nx', FILE), "nothing"),
        (form(b'name="user_id"\r\n\r\nx', FILE), "user_id"),
        (form(FILE, end=b""), "body"),
        (form(*[b'name="source"\r\n\r\n'] * 101, FILE), "body"),
        ({"content": b"garbage", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}, "body"),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, "Content-Type"),
        (
            {"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=" + "b" * 300}},
            "Content-Type",
        ),
        ({"content": b"x", "headers": raw(**{"Content-Encoding": "gzip"})}, "Content-Encoding"),
        ({"content": b"x", "headers": raw(), "params": {"nothing": "1"}}, "nothing"),
        ({"content": b"x", "headers": raw(), "params": {"user_id": "1"}}, "user_id"),
        ({"content": b"x", "headers": raw(), "params": {"file.data": "eA=="}}, "file.data"),
    ],
)
async def test_forms_and_queries_that_are_refused(
    client: Client, backend: Backend, request_: dict[str, Any], field: str
) -> None:
    answer = await client.post(FILES, **request_)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"][1]["field_violations"][0]["field"] == field


async def test_a_file_over_the_limit(make_client: MakeClient, backend: Backend) -> None:
    client = await make_client(max_upload_bytes=MIB)
    headers = raw(**bearer(mint(backend.key)))
    assert (await client.post(FILES, content=b"x" * MIB, headers=headers)).status_code == 200
    for content in (b"x" * (3 * MIB), parts(MIB + 1)):
        answer = await client.post(FILES, content=content, headers=headers)
        assert answer.status_code == 413
        assert answer.json()["error"]["details"][0]["reason"] == "TOO_LARGE"
    await asyncio.wait_for(backend.things.cancelled.wait(), 5)


async def test_an_upload_needs_a_token_before_its_body(make_server: MakeServer, backend: Backend) -> None:
    client = await make_server()
    answer = await client.post(FILES, content=parts(8 * MIB), headers=raw())
    assert answer.status_code == 401
    assert answer.headers["connection"] == "close"


async def test_a_file_is_never_held_in_memory(make_server: MakeServer, backend: Backend) -> None:
    client = await make_server()
    total = 48 * MIB
    tracemalloc.start()
    try:
        answer = await client.post(FILES, content=parts(total), headers=raw(**bearer(mint(backend.key))))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.json()["size_bytes"] == total
    # Client, gateway and service are all in this process.
    assert peak < 12 * MIB


async def test_a_service_that_does_not_read_slows_the_client_down(make_server: MakeServer, backend: Backend) -> None:
    sent = 0
    go_on = asyncio.Event()

    async def counted() -> AsyncIterator[bytes]:
        nonlocal sent
        async for part in parts(64 * MIB):
            sent += len(part)
            yield part

    async def stall(messages: Any, context: Any) -> Any:
        await anext(messages)
        await go_on.wait()
        raise ServiceError("ALREADY_EXISTS", "the file is there")

    backend.things.handlers["UploadFile"] = stall
    client = await make_server()
    upload = asyncio.create_task(client.post(FILES, content=counted(), headers=raw(**bearer(mint(backend.key)))))
    await asyncio.wait_for(backend.things.reached.wait(), 5)
    before = -1
    while sent != before:
        before = sent
        await asyncio.sleep(0.3)
    assert sent < 32 * MIB
    go_on.set()
    assert (await upload).status_code == 409


async def test_a_service_that_answers_early_is_heard(make_server: MakeServer, backend: Backend) -> None:
    async def refuse(messages: Any, context: Any) -> Any:
        await anext(messages)
        raise ServiceError("TOO_LARGE", "the file is larger than we take")

    backend.things.handlers["UploadFile"] = refuse
    client = await make_server()
    answer = await client.post(FILES, content=parts(16 * MIB), headers=raw(**bearer(mint(backend.key))))
    assert answer.status_code == 413
    assert answer.json()["error"]["message"] == "the file is larger than we take"
    assert (await client.get("/healthz")).status_code == 200


async def test_a_client_gone_in_mid_upload_cancels_the_rpc(make_server: MakeServer, backend: Backend) -> None:
    async def broken() -> AsyncIterator[bytes]:
        async for part in parts(2 * MIB):
            yield part
        await backend.things.reached.wait()
        raise ConnectionError

    client = await make_server()
    with pytest.raises((ConnectionError, httpx.HTTPError)):
        await client.post(FILES, content=broken(), headers=raw(**bearer(mint(backend.key))))
    await client.aclose()
    await asyncio.wait_for(backend.things.cancelled.wait(), 5)


async def test_a_form_that_is_cut_short_cancels_the_rpc(client: Client, backend: Backend) -> None:
    answer = await client.post(FILES, **form(b'name="file"; filename="a"\r\n\r\n' + b"x" * MIB, end=b""))
    assert answer.status_code == 400
    await asyncio.wait_for(backend.things.cancelled.wait(), 5)


async def test_a_client_that_stops_sending(make_server: MakeServer, backend: Backend) -> None:
    client = await make_server(upload_idle_seconds=0.2)
    url = client.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    token = mint(backend.key)
    head = f"POST {FILES} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: 100\r\n\r\nsome"
    writer.write(head.encode())
    assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 504")
    writer.close()
    await writer.wait_closed()


async def test_expect_100_continue(make_server: MakeServer, backend: Backend) -> None:
    client = await make_server(max_upload_bytes=1000)
    url, token = client.base_url, mint(backend.key)

    async def first_line(length: int, authorization: str) -> bytes:
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(
            f"POST {FILES} HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\n"
            f"content-length: {length}\r\nexpect: 100-continue\r\n\r\n".encode()
        )
        line = await asyncio.wait_for(reader.readline(), 10)
        writer.close()
        await writer.wait_closed()
        return line

    assert b" 100 " in await first_line(10, f"Bearer {token}")
    assert b" 413 " in await first_line(10 * MIB, f"Bearer {token}")
    assert b" 401 " in await first_line(10 * MIB, "Bearer nothing")


async def test_who_uploads_is_in_the_first_message(client: Client, backend: Backend) -> None:
    seen: list[Any] = []

    async def read(messages: Any, context: Any) -> Any:
        seen.extend([message async for message in messages])
        return backend.things.message("UploadFileResponse")

    backend.things.handlers["UploadFile"] = read
    await client.post(f"{FILES}?source=s", content=parts(MIB), headers=raw())
    assert (seen[0].user_id, seen[0].source, len(seen) > 1) == (ADA, "s", True)
    assert all((message.user_id, message.source) == ("", "") for message in seen[1:])
