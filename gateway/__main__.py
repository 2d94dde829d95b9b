"""Runs the gateway: `python -m gateway`, set up by the environment variables `GATEWAY_*`."""

import asyncio
import contextlib
import signal
import sys

import uvicorn

from gateway.app import create_app
from gateway.contract import ContractError
from gateway.https import Certificate
from gateway.protocol import protocol_for
from gateway.routing import AmbiguousRouteError
from gateway.settings import GatewaySettings
from gateway.template import TemplateError
from services.kit import telemetry
from services.kit.settings import load

PREFIX = "GATEWAY_"


async def serve(settings: GatewaySettings) -> None:
    """Serves until SIGTERM or SIGINT, then lets requests in flight end."""
    _, app = create_app(settings)
    certificate = None
    if settings.certificate_file and settings.key_file:
        certificate = Certificate(settings.certificate_file, settings.key_file)
    host, _, port = settings.listen.rpartition(":")
    config = uvicorn.Config(
        app,
        host=host.strip("[]"),
        port=int(port),
        http=protocol_for(settings.max_header_bytes),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=settings.grace_seconds,
        limit_concurrency=settings.max_connections,
        ssl_context_factory=certificate.context if certificate else None,
    )
    # uvicorn ends gracefully and then repeats the signal to whom it belonged
    # before; with nobody there, a wanted end is exit 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    async with certificate.kept_fresh() if certificate else contextlib.nullcontext():
        await uvicorn.Server(config).serve()


def main() -> None:
    settings = load(GatewaySettings, PREFIX)
    telemetry.start(settings, "gateway")
    try:
        if sys.platform == "win32":
            asyncio.run(serve(settings))
        else:
            import uvloop

            uvloop.run(serve(settings))
    except (ContractError, AmbiguousRouteError, TemplateError, ValueError, OSError) as error:
        print(f"gateway: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
