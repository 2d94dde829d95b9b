"""The keys that services sign with: another one takes over while calls go on."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.kit.caller import (
    Caller,
    CallerSigner,
    CallerVerifier,
    key_id,
    load_private_key,
    service_caller,
    watch_private_key,
    watch_trusted,
)
from services.kit.database import uuid7
from services.kit.errors import ServiceError
from services.kit.trust import main
from services.kit.watched import Watched, replace_file
from tests.databases import ServiceDatabase
from tests.harness import Running, Trust, make_trust, person, write_key
from tests.services import serving
from vitalis.tracking.v1 import wearables_pb2, wearables_pb2_grpc


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    return make_trust(tmp_path)


@pytest.fixture
async def tracking(
    tmp_path: Path, trust: Trust, clone_database: Callable[[str], ServiceDatabase]
) -> AsyncIterator[Running]:
    async with serving("tracking", tmp_path, clone_database("tracking"), trust) as service:
        yield service


def add(issuer: str, key: Ed25519PrivateKey, trusted: Path) -> None:
    """Trusts the public half, as an operator does."""
    public = trusted.with_name("public.pem")
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    main(["add", issuer, str(public), str(trusted)])


async def days(tracking: Running, signer: CallerSigner, caller: Caller) -> grpc.StatusCode:
    stub = wearables_pb2_grpc.WearablesServiceStub(tracking.channel)
    request = wearables_pb2.ListDaysRequest(user_id=caller.subject)
    try:
        await stub.ListDays(request, metadata=signer.metadata(caller, "tracking"), timeout=20)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@pytest.mark.parametrize(
    ("issuer", "caller"), [("gateway", person()), ("insights", service_caller("insights", str(uuid7())))]
)
async def test_a_key_is_replaced_under_running_calls(
    tracking: Running, trust: Trust, issuer: str, caller: Caller
) -> None:
    """Nobody is refused meanwhile, and in the end the old key opens nothing."""
    file, trusted = trust.caller_key_file.with_name(f"{issuer}.pem"), trust.trusted_callers_file
    old = load_private_key(file)
    signer, thief = CallerSigner(issuer, watch_private_key(file)), CallerSigner(issuer, old)
    done = asyncio.Event()
    outcomes: set[grpc.StatusCode] = set()

    async def call() -> None:
        while not done.is_set():
            outcomes.add(await days(tracking, signer, caller))

    def signs_with() -> str:
        return str(jwt.get_unverified_header(signer.token(caller, "tracking"))["kid"])

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(call())
        try:
            new = write_key(trusted.with_name("new.pem"))
            add(issuer, new, trusted)
            assert signs_with() == key_id(old)
            trusted.with_name("new.pem").replace(file)
            while signs_with() != key_id(new):
                await asyncio.sleep(0.01)
            # A token of the old key may still be under way.
            assert await days(tracking, thief, caller) is grpc.StatusCode.OK
            main(["remove", issuer, key_id(old), str(trusted)])
            while await days(tracking, thief, caller) is grpc.StatusCode.OK:
                await asyncio.sleep(0.01)
        finally:
            done.set()
    assert outcomes == {grpc.StatusCode.OK}
    assert await days(tracking, thief, caller) is grpc.StatusCode.UNAUTHENTICATED
    assert await days(tracking, signer, caller) is grpc.StatusCode.OK


def test_a_key_of_one_issuer_does_not_speak_for_another(trust: Trust, tmp_path: Path) -> None:
    """A service's key, however it is trusted, makes no people."""
    key = write_key(tmp_path / "labs.pem")
    add("labs", key, trust.trusted_callers_file)
    verifier = CallerVerifier("tracking", watch_trusted(trust.trusted_callers_file))
    assert verifier.verify(CallerSigner("labs", key).token(service_caller("labs"), "tracking"), "").is_service
    for issuer, caller in (("labs", person()), ("gateway", person()), ("insights", service_caller("insights"))):
        with pytest.raises(ServiceError) as caught:
            verifier.verify(CallerSigner(issuer, key).token(caller, "tracking"), "")
        assert caught.value.reason.name == "UNAUTHENTICATED"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"gateway": 1}', '{"gateway": {"keys": [{"kid": "x"}]}}'])
def test_a_damaged_file_takes_nobodys_trust(trust: Trust, content: str) -> None:
    watched = watch_trusted(trust.trusted_callers_file)
    verifier = CallerVerifier("tracking", watched)
    trust.trusted_callers_file.write_text(content)
    with structlog.testing.capture_logs() as lines:
        assert not watched.look()
    assert [(line["event"], line["files"]) for line in lines] == [("files cannot be read again", ["trusted.json"])]
    assert verifier.verify(trust.gateway.token(person(), "tracking"), "").role == "user"


def run(*arguments: object) -> int | str | None:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return stopped.value.code


def test_the_command_lists_adds_and_removes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "trusted.json"
    first, second = (write_key(tmp_path / f"{name}.pem") for name in ("first", "second"))
    for key in (first, second, second):
        add("identity", key, file)
    capsys.readouterr()
    main(["list", str(file)])
    assert capsys.readouterr().out.splitlines() == [f"identity {key_id(key)}" for key in (first, second)]
    main(["remove", "identity", key_id(first), str(file)])
    assert [key["kid"] for key in json.loads(file.read_text())["identity"]["keys"]] == [key_id(second)]
    capsys.readouterr()
    for arguments, why in (
        (("remove", "identity", key_id(first), file), f"identity has no key {key_id(first)}"),
        (("remove", "labs", "x", file), "labs has no key x"),
        (("add", "identity", tmp_path / "first.pem", file), "holds no Ed25519 public key"),
        (("add", "identity", tmp_path / "absent.pem", file), "No such file"),
        (("list", tmp_path / "first.pem"), "holds no JSON object"),
    ):
        assert run(*arguments) == 2
        assert why in capsys.readouterr().err


def test_watched_files_keep_what_they_held_until_they_can_be_read(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("1")
    two.write_text("1")

    def both() -> str:
        if one.read_text() != two.read_text():
            raise ValueError("they do not fit")
        return one.read_text()

    watched = Watched(both, one, two)
    reads: list[Any] = [watched.get(), watched.look()]
    replace_file(one, b"2", 0o600)
    reads += [watched.look(), watched.get()]
    replace_file(two, b"2", 0o600)
    reads += [watched.look(), watched.get(), watched.look()]
    two.unlink()
    reads += [watched.look(), watched.get()]
    assert reads == ["1", False, False, "1", True, "2", False, False, "2"]
