"""The command `python -m gateway`: starts, serves, and ends well."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateway.support import Backend, bearer, mint


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_requests_in_flight_end_before_the_gateway_does(
    backend: Backend, sample_set: Path, key_file: Path, tmp_path: Path, number: signal.Signals
) -> None:
    answer_now = asyncio.Event()

    async def slow(request: Any, context: Any) -> Any:
        await answer_now.wait()
        return backend.things.message("ThingResponse", '{"thing": {"text": "late"}}')

    backend.things.handlers["GetThing"] = slow
    port, metrics = free_port(), free_port()
    services = f'{{"identity": "127.0.0.1:{backend.port}", "sample": "127.0.0.1:{backend.port}"}}'
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "GATEWAY_METRICS_LISTEN": f"127.0.0.1:{metrics}",
        "GATEWAY_SERVICES": services,
        "GATEWAY_DESCRIPTOR_SET": str(sample_set),
        "GATEWAY_CALLER_KEY_FILE": str(key_file),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", env=environment, cwd=tmp_path, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            async for ready in answers(client, "/readyz"):
                if ready.status_code == 200:
                    break
            headers = bearer(mint(backend.key))
            request = asyncio.create_task(client.get("/api/v1/users/me/things/7", headers=headers))
            await asyncio.wait_for(backend.things.reached.wait(), 20)
            scraped = (await client.get(f"http://127.0.0.1:{metrics}/metrics")).text
            process.send_signal(number)
            answer_now.set()
            assert (await request).json()["text"] == "late"
        _, errors = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()
    assert b'"route": "/api/v1/users/{user_id}/things/{id}"' in errors
    assert "http_server_request_duration_seconds" in scraped


async def answers(client: httpx.AsyncClient, path: str) -> AsyncIterator[httpx.Response]:
    """What a server answers as soon as it listens."""
    for _ in range(300):
        try:
            yield await client.get(path)
        except httpx.TransportError:
            await asyncio.sleep(0.1)
    raise TimeoutError("the gateway does not listen")
