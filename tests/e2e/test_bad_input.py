"""Files, bodies and tokens that are not what they claim to be: a clear answer, and nothing stored."""

import io
import json
import random
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from examples.apple_health import Truth
from local.keys import ACCESS_TOKEN_KEY
from local.runner import Stack
from services.kit.caller import key_id, load_private_key
from tests.e2e.conftest import UPLOAD_LIMIT
from tests.e2e.vitalis import NOTHING, Memory, Person

MIB = 2**20
# What the worker may take in memory, whatever the file holds.
WORKER_BYTES = 150 * MIB
HEAD = b'<?xml version="1.0" encoding="UTF-8"?>\n'
BODY = b'<HealthData locale="en_US"><ExportDate value="2026-11-18 23:30:00 -0800"/>'
RECORD = (
    b'<Record type="HKQuantityTypeIdentifierStepCount" sourceName="Phone" unit="count" value="%s"'
    b' startDate="2026-11-18 07:00:00 -0800" endDate="2026-11-18 07:05:00 -0800"/>'
)


def zipped(chunks: Iterator[bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("apple_health_export/export.xml", "w", force_zip64=True) as entry:
            for chunk in chunks:
                entry.write(chunk)
    return file.getvalue()


def bomb() -> bytes:
    """Half a gigabyte of blanks in half a megabyte."""

    def chunks() -> Iterator[bytes]:
        yield HEAD + BODY
        for _ in range(512):
            yield b" " * MIB
        yield b"</HealthData>"

    return zipped(chunks())


def entities() -> bytes:
    """A billion laughs: ten entities, each ten times the one before."""
    declared = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    doctype = f'<!DOCTYPE HealthData [<!ENTITY e0 "ha">{declared}]>'
    return HEAD + doctype.encode() + BODY + RECORD % b"&e9;" + b"</HealthData>"


def external_entity() -> bytes:
    doctype = b'<!DOCTYPE HealthData [<!ENTITY file SYSTEM "file:///etc/passwd">]>'
    return HEAD + doctype + BODY + RECORD % b"&file;" + b"</HealthData>"


def nested() -> bytes:
    return HEAD + BODY + b"<Correlation>" * 200_000 + b"</HealthData>"


def long_attribute() -> bytes:
    return HEAD + BODY + RECORD % (b"9" * 8 * MIB) + b"</HealthData>"


FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "a zip bomb": (bomb, "unpacks to more than 200 times its size"),
    "a PDF": (lambda: b"%PDF-1.7\n" + bytes(1000), "this is a PDF"),
    "text": (lambda: b"no export", "not XML and not a zip"),
    "JSON": (lambda: b'{"data": {}}', "this is JSON"),
    "another XML": (lambda: HEAD + b"<html></html>", "no HealthData"),
    "an empty zip": (lambda: b"PK\x05\x06" + bytes(18), "holds no Apple Health export"),
    "blanks": (lambda: b" " * 100, "blank"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_export_fails_with_a_reason(ada: Person, name: str) -> None:
    make, words = FILES[name]
    ended = ada.imported(make())
    assert ended["status"] == "failed"
    assert words in ended["error_message"]
    assert "result" not in ended
    assert ada.rows() == NOTHING


def test_a_zip_that_is_cut_off_fails_with_a_reason(ada: Person, export: tuple[bytes, Truth]) -> None:
    content = export[0]
    middle = content.index(b"PK\x01\x02") // 2
    damaged = content[:middle] + bytes(1000) + content[middle + 1000 :]
    for file, words in (
        (content[: len(content) // 2], "the zip is cut off"),
        (content[:-30], "the zip is cut off"),
        (damaged, "damaged"),
    ):
        ended = ada.imported(file)
        assert ended["status"] == "failed"
        assert words in ended["error_message"]
    assert ada.rows() == NOTHING


@pytest.mark.parametrize("make", [entities, external_entity, nested, long_attribute])
def test_what_attacks_the_parser_is_a_bad_record_or_a_refused_file(ada: Person, make: Callable[[], bytes]) -> None:
    ended = ada.imported(make())
    if ended["status"] == "succeeded":
        assert ended["result"]["records_used"] == 0
        assert ended["result"]["records_rejected"] >= 1
    else:
        assert ended["status"] == "failed"
        assert "something went wrong" not in ended["error_message"]
    assert ended["attempts"] == 1
    assert "root:" not in json.dumps(ended)
    assert ada.rows() == NOTHING


def test_ten_million_elements_take_no_more_memory_than_few(stack: Stack, ada: Person) -> None:
    chance = random.Random(1)
    block = b"".join(b'<x a="%d"/>' % chance.randrange(10) for _ in range(20_000))

    def chunks() -> Iterator[bytes]:
        yield HEAD + BODY
        for _ in range(500):
            yield block
        yield b"</HealthData>"

    memory = Memory(stack.children["tracking-worker"].pid)
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.1):
            memory.look()

    looking = threading.Thread(target=look)
    looking.start()
    try:
        ended = ada.imported(zipped(chunks()))
    finally:
        done.set()
        looking.join()
    assert (ended["status"], ended["result"]["records_ignored"]) == ("succeeded", 10_000_000)
    assert ada.rows() == NOTHING
    assert memory.peak < WORKER_BYTES


def test_an_upload_over_the_limit_is_refused_before_it_is_stored(ada: Person) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(UPLOAD_LIMIT // MIB + 1):
            yield bytes(MIB)

    # With its length told before, without it, and as a form.
    for arguments in (
        {"content": b"".join(chunks()), "params": {"source": "apple_health"}},
        {"content": chunks(), "params": {"source": "apple_health"}},
        {"files": {"file": ("export.zip", b"".join(chunks()))}, "params": {"source": "apple_health"}},
    ):
        answer = ada.post("imports", **arguments)
        assert answer.status_code == 413, answer.text
        assert "limit" in answer.json()["error"]["message"]
    assert ada.imports() == []
    assert ada.files() == []


def test_an_upload_of_nothing_or_of_an_unknown_kind_is_refused(ada: Person) -> None:
    for query, content, field in (
        ({"source": "apple_health"}, b"", "file"),
        ({}, b"x", "source"),
        ({"source": "garmin"}, b"x", "source"),
        ({"source": "apple_health", "colour": "red"}, b"x", "colour"),
    ):
        answer = ada.post("imports", params=query, content=content)
        assert answer.status_code == 400
        assert field in answer.json()["error"]["message"]
    assert ada.imports() == []
    assert ada.files() == []


ACTIVITY = {"activity_date": "2026-03-01", "source": "manual", "activity_type": "running"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'"x"',
        b"7",
        b"{",
        b"{}",
        b"\xff\xfe",
        b'{"activity_date": "2026-03-01"} {}',
        json.dumps([ACTIVITY]).encode(),
        json.dumps({**ACTIVITY, "colour": "red"}).encode(),
        json.dumps({**ACTIVITY, "avg_hr_bpm": "fast"}).encode(),
        json.dumps({**ACTIVITY, "avg_hr_bpm": 1e400}).encode(),
        json.dumps({**ACTIVITY, "avg_hr_bpm": 60.5}).encode(),
        json.dumps({**ACTIVITY, "avg_hr_bpm": [60]}).encode(),
        json.dumps({**ACTIVITY, "distance_m": float("nan")}).encode(),
        json.dumps({**ACTIVITY, "activity_date": "2026-02-30"}).encode(),
        json.dumps({**ACTIVITY, "activity_date": 20260301}).encode(),
        json.dumps({**ACTIVITY, "start_time": "yesterday"}).encode(),
        json.dumps({**ACTIVITY, "start_time": {"seconds": 1}}).encode(),
        json.dumps({**ACTIVITY, "activity_name": "a\0b"}).encode(),
        json.dumps({**ACTIVITY, "raw_data": [1]}).encode(),
        json.dumps({**ACTIVITY, "raw_data": {"a": "b\0"}}).encode(),
        b'{"raw_data": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
        b'{"activity_name": "\\ud800", "activity_date": "2026-03-01", "source": "manual", "activity_type": "running"}',
    ],
    ids=range(25),
)
def test_json_of_the_wrong_shape_is_refused(ada: Person, body: bytes) -> None:
    answer = ada.post("wearable-activities", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    assert error["details"][0]["reason"] == "INVALID_FIELD"
    assert error["message"]
    assert ada.rows() == NOTHING


def test_a_body_that_is_too_large_or_no_json_is_refused(ada: Person) -> None:
    large = json.dumps({**ACTIVITY, "notes": "x" * 3 * MIB}).encode()
    answer = ada.post("wearable-activities", content=large, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["details"][0]["reason"]) == (413, "TOO_LARGE")
    form = ada.post("wearable-activities", data={"source": "manual"})
    assert form.status_code in (400, 415)
    assert ada.rows() == NOTHING


def test_tokens_that_do_not_hold_open_nothing(stack: Stack, ada: Person) -> None:
    key = load_private_key(stack.keys / ACCESS_TOKEN_KEY)
    now = int(time.time())
    good: dict[str, Any] = {
        "iss": "vitalis",
        "aud": "vitalis-api",
        "sub": ada.id,
        "sid": jwt.decode(ada.tokens["access_token"], options={"verify_signature": False})["sid"],
        "role": "user",
        "iat": now,
        "exp": now + 900,
        "jti": str(uuid4()),
    }

    def token(signer: Any = key, kid: str = key_id(key), algorithm: str = "EdDSA", **changes: Any) -> str:
        return jwt.encode({**good, **changes}, signer, algorithm=algorithm, headers={"kid": kid})

    other = Ed25519PrivateKey.generate()
    internal = load_private_key(stack.keys / "gateway.pem")

    def status(authorization: str) -> tuple[int, str]:
        answer = ada.http.get("/api/v1/users/me/days", headers={"Authorization": authorization})
        return answer.status_code, answer.text

    assert status(f"Bearer {token()}")[0] == 200
    for text in (
        token(iat=now - 2000, exp=now - 1000),
        token(iat=now + 1000, exp=now + 2000),
        token(other),
        token(other, key_id(other)),
        token(internal, key_id(internal)),
        token(aud="tracking"),
        token(aud=["other"]),
        token(iss="gateway"),
        token("a secret of some length, as HMAC wants it", algorithm="HS256"),
        ada.tokens["refresh_token"],
        "x.y.z",
    ):
        code, answer = status(f"Bearer {text}")
        assert code == 401, text
        assert json.loads(answer)["error"]["details"][0]["reason"] == "UNAUTHENTICATED"
        assert ada.id not in answer
    for authorization in ("", "Bearer", f"Basic {token()}", token()):
        assert status(authorization)[0] == 401
    # What services tell each other by is nothing that a client can say.
    forged = {"vitalis-caller": token(internal, key_id(internal), aud="tracking"), "Authorization": ""}
    assert ada.http.get("/api/v1/users/me/days", headers=forged).status_code == 401
