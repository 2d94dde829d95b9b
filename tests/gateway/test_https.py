"""The public server's own TLS: https with a certificate that is renewed while it serves."""

import asyncio
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
import uvicorn

from gateway.https import Certificate
from tests.certificates import Authority, Files
from tests.gateway.support import Backend
from tests.gateway.test_main import answers, free_port


@asynccontextmanager
async def serving(certificate: Certificate) -> AsyncIterator[int]:
    """A server with the certificate, that answers anything with 204; its port."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, lifespan="off", log_config=None, ssl_context_factory=certificate.context)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve([listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task


async def get(port: int, ca: Path, scheme: str = "https") -> int:
    """The status of a request over a connection of its own, by somebody who trusts that CA."""
    async with httpx.AsyncClient(verify=ssl.create_default_context(cafile=str(ca)), timeout=20) as client:
        return (await client.get(f"{scheme}://127.0.0.1:{port}/")).status_code


async def test_a_renewed_certificate_is_shown_to_new_connections(tmp_path: Path) -> None:
    first, second = Authority(tmp_path, "first"), Authority(tmp_path, "second")
    files: Files = first.give("public")
    certificate = Certificate(*files)
    async with serving(certificate) as port:
        assert await get(port, first.ca) == 204
        with pytest.raises(httpx.ConnectError):
            await get(port, second.ca)
        with pytest.raises(httpx.RemoteProtocolError):
            await get(port, first.ca, "http")

        key = files.key.read_bytes()
        second.give("public")
        renewed = files.key.read_bytes()
        files.key.write_bytes(key)
        with structlog.testing.capture_logs() as lines:
            assert not certificate.files.look()
        assert [line["event"] for line in lines] == ["files cannot be read again"]
        assert await get(port, first.ca) == 204

        files.key.write_bytes(renewed)
        async with certificate.kept_fresh(0.01):
            async with asyncio.timeout(20):
                while await get_or_none(port, second.ca) != 204:
                    pass
        with pytest.raises(httpx.ConnectError):
            await get(port, first.ca)


async def get_or_none(port: int, ca: Path) -> int | None:
    try:
        return await get(port, ca)
    except httpx.ConnectError:
        return None


async def test_the_gateway_serves_https(backend: Backend, sample_set: Path, key_file: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    files = authority.give("public")
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "GATEWAY_SERVICES": f'{{"identity": "127.0.0.1:{backend.port}"}}',
        "GATEWAY_DESCRIPTOR_SET": str(sample_set),
        "GATEWAY_CALLER_KEY_FILE": str(key_file),
        "GATEWAY_CERTIFICATE_FILE": str(files.certificate),
    }
    refused = await run(environment, tmp_path)
    _, errors = await refused.communicate()
    assert refused.returncode == 2
    assert b"setting GATEWAY_KEY_FILE: Value error, a certificate and its key go together" in errors

    process = await run({**environment, "GATEWAY_KEY_FILE": str(files.key)}, tmp_path)
    try:
        context = ssl.create_default_context(cafile=str(authority.ca))
        async with httpx.AsyncClient(base_url=f"https://127.0.0.1:{port}", verify=context, timeout=30) as client:
            async for answer in answers(client, "/healthz"):
                assert answer.status_code == 200
                break
        with pytest.raises(httpx.TransportError):
            await get(port, authority.ca, "http")
        process.terminate()
        _, errors = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0, errors.decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def run(environment: dict[str, str], directory: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", env=environment, cwd=directory, stderr=asyncio.subprocess.PIPE
    )
