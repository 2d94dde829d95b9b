"""TLS and mutual TLS between processes, with real certificates: who gets through, and who does not."""

import datetime as dt
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import SecretStr

from gateway.app import create_app
from gateway.settings import GatewaySettings
from services.kit import tls
from services.kit.caller import CallerSigner, calling, load_private_key, service_caller
from services.kit.client import open_channel
from services.kit.database import uuid7
from services.kit.settings import ServiceSettings, load
from tests.certificates import Authority, Files
from tests.databases import ServiceDatabase
from tests.harness import Running, Trust, make_trust, person
from tests.services import serving
from vitalis.identity.v1 import audit_pb2, audit_pb2_grpc
from vitalis.tracking.v1 import wearables_pb2, wearables_pb2_grpc

Start = Callable[..., Any]
WEARABLES = wearables_pb2.DESCRIPTOR.services_by_name["WearablesService"]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def other(tmp_path: Path) -> Authority:
    """Nobody trusts it."""
    return Authority(tmp_path, "other-authority")


@pytest.fixture
async def start(tmp_path: Path, clone_database: Callable[[str], ServiceDatabase]) -> AsyncIterator[Start]:
    """`await start("tracking", files, client_ca)` is that service with TLS, mutual with a CA for clients."""
    trust = make_trust(tmp_path)
    async with AsyncExitStack() as stack:

        async def begin(name: str, files: Files, ca: Path, client_ca: Path | None = None, **services: str) -> Running:
            tls = own(files, ca) | {"tls_client_ca_file": client_ca}
            return await stack.enter_async_context(
                serving(name, tmp_path, clone_database(name), trust, services=services, **tls)
            )

        yield begin


def caller_settings(trust: Trust, target: str, service: str = "tracking", **tls: Any) -> ServiceSettings:
    """Those of a service that calls another one."""
    return ServiceSettings(
        listen="127.0.0.1:0",
        database_url=SecretStr("postgresql://app@127.0.0.1/nothing"),
        caller_key_file=trust.caller_key_file,
        trusted_callers_file=trust.trusted_callers_file,
        services={service: target},
        **tls,
    )


def own(files: Files, ca: Path) -> dict[str, Any]:
    return {"tls_certificate_file": files.certificate, "tls_key_file": files.key, "tls_ca_file": ca}


async def days(settings: ServiceSettings) -> grpc.StatusCode:
    """How a service fares that calls tracking, over a connection of its own."""
    signer = CallerSigner("insights", load_private_key(settings.caller_key_file.with_name("insights.pem")))
    user_id = str(uuid7())
    async with open_channel(settings, signer, "tracking", [WEARABLES]) as channel:
        stub = wearables_pb2_grpc.WearablesServiceStub(channel)
        with calling(service_caller("insights", user_id)):
            try:
                await stub.ListDays(wearables_pb2.ListDaysRequest(user_id=user_id), timeout=10)
            except grpc.aio.AioRpcError as error:
                return error.code()
    return grpc.StatusCode.OK


async def test_a_service_calls_another_by_mutual_tls(authority: Authority, start: Start) -> None:
    tracking = await start("tracking", authority.give("tracking"), authority.ca, authority.ca)
    with_certificate = own(authority.give("insights"), authority.ca)
    assert await days(caller_settings(tracking.trust, tracking.target, **with_certificate)) is grpc.StatusCode.OK


async def test_identity_asks_tracking_by_mutual_tls(authority: Authority, other: Authority, start: Start) -> None:
    tracking = await start("tracking", authority.give("tracking"), authority.ca, authority.ca)
    ada = person()
    request = audit_pb2.ListAuditTrailRequest(user_id=ada.subject)
    for files, missing in ((authority.give("identity"), []), (other.give("forger"), ["tracking"])):
        identity = await start("identity", files, authority.ca, authority.ca, tracking=tracking.target)
        pair = own(authority.give("gateway"), authority.ca)
        settings = caller_settings(identity.trust, identity.target, "identity", **pair)
        server = other.ca if missing else authority.ca
        settings = settings.model_copy(update={"tls_ca_file": server})
        async with tls.open_channel(settings, "identity", identity.target, []) as channel:
            stub = audit_pb2_grpc.AuditServiceStub(channel)
            trail = await stub.ListAuditTrail(request, metadata=identity.metadata(ada), timeout=20)
        assert list(trail.unavailable_services) == missing


async def test_only_a_certificate_of_the_right_authority_gets_through(
    authority: Authority, other: Authority, start: Start
) -> None:
    tracking = await start("tracking", authority.give("tracking"), authority.ca, authority.ca)
    forged = own(other.give("insights"), authority.ca)
    assert await days(caller_settings(tracking.trust, tracking.target, **forged)) is grpc.StatusCode.UNAVAILABLE
    # Without TLS, and with TLS but no certificate of its own, which settings of a service do not allow.
    assert await days(caller_settings(tracking.trust, tracking.target)) is grpc.StatusCode.UNAVAILABLE
    credentials = grpc.ssl_channel_credentials(authority.ca.read_bytes())
    async with grpc.aio.secure_channel(tracking.target, credentials) as channel:
        assert await health(channel) is grpc.StatusCode.UNAVAILABLE
    # Nor is what gRPC exempts from callers open to them.
    async with grpc.aio.insecure_channel(tracking.target) as channel:
        assert await health(channel) is grpc.StatusCode.UNAVAILABLE


async def health(channel: grpc.aio.Channel) -> grpc.StatusCode:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    try:
        await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_without_a_ca_for_clients_any_client_gets_through_by_tls(authority: Authority, start: Start) -> None:
    tracking = await start("tracking", authority.give("tracking"), authority.ca)
    credentials = grpc.ssl_channel_credentials(authority.ca.read_bytes())
    async with grpc.aio.secure_channel(tracking.target, credentials) as channel:
        assert await health(channel) is grpc.StatusCode.OK
    async with grpc.aio.insecure_channel(tracking.target) as channel:
        assert await health(channel) is grpc.StatusCode.UNAVAILABLE


async def test_a_server_with_a_certificate_of_another_authority_is_not_spoken_to(
    authority: Authority, other: Authority, start: Start
) -> None:
    impostor = await start("tracking", other.give("tracking"), other.ca)
    mine = own(authority.give("insights"), authority.ca)
    assert await days(caller_settings(impostor.trust, impostor.target, **mine)) is grpc.StatusCode.UNAVAILABLE


async def test_a_server_is_known_by_its_name(authority: Authority, start: Start) -> None:
    tracking = await start("tracking", authority.give("tracking", host="tracking.internal"), authority.ca)
    mine = own(authority.give("insights"), authority.ca)
    assert await days(caller_settings(tracking.trust, tracking.target, **mine)) is grpc.StatusCode.UNAVAILABLE
    for name, code in (("tracking.internal", grpc.StatusCode.OK), ("other.internal", grpc.StatusCode.UNAVAILABLE)):
        settings = caller_settings(
            tracking.trust, tracking.target, **mine, tls_server_names={"tracking": name, "labs": "elsewhere"}
        )
        assert await days(settings) is code


async def test_expired_certificates_are_refused_on_both_sides(
    authority: Authority, start: Start, tmp_path: Path
) -> None:
    tracking = await start("tracking", authority.give("tracking"), authority.ca, authority.ca)
    expired = authority.give("late", valid=-dt.timedelta(hours=1))
    credentials = grpc.ssl_channel_credentials(
        authority.ca.read_bytes(), expired.key.read_bytes(), expired.certificate.read_bytes()
    )
    async with grpc.aio.secure_channel(tracking.target, credentials) as channel:
        assert await health(channel) is grpc.StatusCode.UNAVAILABLE

    # A server that has been up for too long.
    server = grpc.aio.server()
    port = server.add_secure_port(
        "127.0.0.1:0", grpc.ssl_server_credentials([(expired.key.read_bytes(), expired.certificate.read_bytes())])
    )
    await server.start()
    mine = own(authority.give("insights"), authority.ca)
    settings = caller_settings(tracking.trust, f"127.0.0.1:{port}", **mine)
    assert await days(settings) is grpc.StatusCode.UNAVAILABLE
    await server.stop(None)


async def test_a_renewed_certificate_is_shown_without_a_restart(
    authority: Authority, other: Authority, start: Start, tmp_path: Path
) -> None:
    files = authority.give("tracking")
    tracking = await start("tracking", files, authority.ca, authority.ca)
    old, new = (own(one.give(f"of-{one.ca.stem}"), one.ca) for one in (authority, other))
    settings_old = caller_settings(tracking.trust, tracking.target, **old)
    settings_new = caller_settings(tracking.trust, tracking.target, **new)
    assert await days(settings_old) is grpc.StatusCode.OK
    assert await days(settings_new) is grpc.StatusCode.UNAVAILABLE
    # Only one of the files has been replaced so far.
    key = files.key.read_bytes()
    other.give("tracking")
    renewed = files.key.read_bytes()
    files.key.write_bytes(key)
    assert await days(settings_old) is grpc.StatusCode.OK
    files.key.write_bytes(renewed)
    authority.ca.write_bytes(other.ca.read_bytes())
    assert await days(settings_new) is grpc.StatusCode.OK
    # What it trusts has changed with it: they know its new certificate, and it does not know theirs.
    settings = settings_old.model_copy(update={"tls_ca_file": other.ca})
    assert await days(settings) is grpc.StatusCode.UNAVAILABLE


@asynccontextmanager
async def gateway(trust: Trust, target: str, **tls: Any) -> AsyncIterator[httpx.AsyncClient]:
    settings = GatewaySettings(
        services={"identity": target}, caller_key_file=trust.caller_key_file.with_name("gateway.pem"), **tls
    )
    built, app = create_app(settings)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client
    await built.close()


async def test_the_gateway_reaches_identity_by_mutual_tls(authority: Authority, other: Authority, start: Start) -> None:
    identity = await start("identity", authority.give("identity"), authority.ca, authority.ca)
    right, wrong = authority.give("gateway"), other.give("forger")
    for given, status in (
        (own(right, authority.ca), 200),
        (own(wrong, authority.ca), 503),
        (own(right, other.ca), 503),
        ({"tls_ca_file": authority.ca}, 503),
        ({}, 503),
    ):
        async with gateway(identity.trust, identity.target, **given) as client:
            assert (await client.get("/readyz")).status_code == status
            assert (await client.get("/.well-known/jwks.json")).status_code == status


GOOD = {
    "PROBE_LISTEN": "127.0.0.1:0",
    "PROBE_DATABASE_URL": "postgresql://app@127.0.0.1/probe",
    "PROBE_CALLER_KEY_FILE": __file__,
    "PROBE_TRUSTED_CALLERS_FILE": __file__,
}


def test_tls_is_all_or_nothing_and_what_is_wrong_is_named(
    authority: Authority,
    other: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mine, theirs = authority.give("mine"), other.give("theirs")
    expired = authority.give("late", valid=-dt.timedelta(hours=1))
    (tmp_path / "text.pem").write_text("hunter2")
    whole = {"CERTIFICATE": mine.certificate, "KEY": mine.key, "CA": authority.ca, "CLIENT_CA": authority.ca}
    absent, text = tmp_path / "absent.pem", tmp_path / "text.pem"
    cases: list[tuple[dict[str, Path | None], str, str]] = [
        ({"KEY": None}, "KEY", "a certificate and its key go together"),
        ({"CERTIFICATE": None}, "KEY", "a certificate and its key go together"),
        ({"CERTIFICATE": None, "KEY": None}, "CLIENT_CA", "needs tls_certificate_file and tls_key_file"),
        ({"CERTIFICATE": None, "KEY": None, "CA": None}, "CLIENT_CA", "needs tls_certificate_file and tls_key_file"),
        ({"CA": None}, "CA", "is missing: with a certificate"),
        (
            {"KEY": theirs.key},
            "KEY",
            "the key in theirs.key.pem is not that of the certificate in mine.certificate.pem",
        ),
        ({"CERTIFICATE": absent}, "KEY", "absent.pem cannot be read: No such file or directory"),
        ({"KEY": absent}, "KEY", "absent.pem cannot be read: No such file or directory"),
        ({"CA": absent}, "CA", "absent.pem cannot be read: No such file or directory"),
        ({"CLIENT_CA": absent}, "CLIENT_CA", "absent.pem cannot be read: No such file or directory"),
        ({"CERTIFICATE": text}, "KEY", "text.pem holds no certificate in PEM"),
        ({"KEY": text}, "KEY", "text.pem holds no private key in PEM"),
        ({"CA": text}, "CA", "text.pem holds no certificate in PEM"),
        ({"CERTIFICATE": expired.certificate, "KEY": expired.key}, "KEY", "late.certificate.pem has expired"),
    ]
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    for change, field, why in [({}, "", ""), *cases]:
        for name, file in {**whole, **change}.items():
            if file:
                monkeypatch.setenv(f"PROBE_TLS_{name}_FILE", str(file))
            else:
                monkeypatch.delenv(f"PROBE_TLS_{name}_FILE", raising=False)
        if not field:
            load(ServiceSettings, "PROBE_")
            continue
        with pytest.raises(SystemExit):
            load(ServiceSettings, "PROBE_")
        said = capsys.readouterr().err
        assert said.startswith(f"setting PROBE_TLS_{field}_FILE: "), said
        assert why in said.splitlines()[0]
        assert "hunter2" not in said
