"""The file of master keys: who may read it, what may stand in it, and how a key follows another."""

import os
import stat
from pathlib import Path

import pytest
import structlog
import tink
from tink import aead

from services.kit import keyset
from services.kit.keyset import KeysetError, MasterKeys, key_id, main
from tests.harness import write_keyset

CONTEXT = b"what for"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_keyset(tmp_path / "vault.json")


def ids(file: Path, capsys: pytest.CaptureFixture[str]) -> dict[int, bool]:
    """The ids of the file's keys, and which of them is the primary."""
    capsys.readouterr()
    main(["list", str(file)])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    return {int(parts[0]): parts[1:] == ["primary"] for parts in lines}


def refused(*arguments: object) -> int | str | None:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return stopped.value.code


def test_what_was_wrapped_unwraps_in_its_context_alone(file: Path) -> None:
    keys = MasterKeys(file)
    wrapped = keys.wrap(b"secret", CONTEXT)
    assert keys.unwrap(wrapped, CONTEXT) == b"secret"
    assert MasterKeys(file).unwrap(wrapped, CONTEXT) == b"secret"
    for changed, context in ((wrapped, b"else"), (wrapped[:-1], CONTEXT), (b"", CONTEXT), (b"\1" + bytes(64), CONTEXT)):
        with pytest.raises(KeysetError, match="cannot be unwrapped"):
            keys.unwrap(changed, context)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602, 0o777])
def test_a_file_that_others_reach_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(KeysetError, match=f"can be read by others .mode {mode:04o}.; chmod 600 it"):
        MasterKeys(file)


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_file_of_another_account_is_good_only_if_it_is_roots(
    file: Path, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.chmod(mode)
    owner = file.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    if owner == 0:
        MasterKeys(file)
    else:
        with pytest.raises(KeysetError, match="can be read by others"):
            MasterKeys(file)


MAC = '{"primaryKeyId": 1, "key": [{"keyData": {"typeUrl": "type.googleapis.com/google.crypto.tink.HmacKey"}}]}'


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b"hunter2", MAC.encode()])
def test_what_is_no_keyset_is_refused_and_not_quoted(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(KeysetError, match=r"vault\.json holds no ") as caught:
        MasterKeys(file)
    assert "hunter2" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeysetError, match=r"absent\.json cannot be read: No such file"):
        MasterKeys(tmp_path / "absent.json")


def test_a_key_follows_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "new.json"
    main(["create", str(file)])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert refused("create", file) == 2
    ((old, is_primary),) = ids(file, capsys).items()
    assert is_primary
    keys = MasterKeys(file)
    before = keys.wrap(b"secret", CONTEXT)

    main(["add", str(file)])
    (new,) = ids(file, capsys).keys() - {old}
    assert ids(file, capsys) == {old: True, new: False}
    assert refused("remove", old, file) == 2
    assert refused("promote", 1, file) == 2
    assert refused("remove", 1, file) == 2
    main(["promote", str(new), str(file)])
    assert ids(file, capsys) == {old: False, new: True}

    after = MasterKeys(file).wrap(b"secret", CONTEXT)
    assert (key_id(before), key_id(after)) == (old, new)
    # A process that has the old keyset reads the new one when it needs it.
    assert keys.unwrap(after, CONTEXT) == b"secret"
    assert keys.primary_id == new
    assert keys.unwrap(before, CONTEXT) == b"secret"

    main(["remove", str(old), str(file)])
    assert ids(file, capsys) == {new: True}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["new.json"]
    fresh = MasterKeys(file)
    assert fresh.unwrap(after, CONTEXT) == b"secret"
    with pytest.raises(KeysetError):
        fresh.unwrap(before, CONTEXT)


def test_a_damaged_file_takes_no_keys_from_who_runs(file: Path) -> None:
    keys = MasterKeys(file)
    wrapped = keys.wrap(b"secret", CONTEXT)
    other = MasterKeys(write_keyset(file.with_name("other.json"))).wrap(b"secret", CONTEXT)
    file.write_text("{")
    with structlog.testing.capture_logs() as lines:
        with pytest.raises(KeysetError):
            keys.unwrap(other, CONTEXT)
    assert [line["event"] for line in lines] == ["files cannot be read again"]
    assert keys.unwrap(wrapped, CONTEXT) == b"secret"
    file.unlink()
    with pytest.raises(KeysetError):
        keys.unwrap(other, CONTEXT)
    assert keys.unwrap(wrapped, CONTEXT) == b"secret"


class Kms(tink.KmsClient):  # type: ignore[misc]
    """A key management service: it has the key, and counts what it is asked."""

    asked = 0
    away = False

    def __init__(self) -> None:
        self._key = tink.new_keyset_handle(aead.aead_key_templates.AES256_GCM).primitive(aead.Aead)

    def does_support(self, key_uri: str) -> bool:
        return key_uri == "test-kms://key"

    def get_aead(self, key_uri: str) -> aead.Aead:
        self.asked += 1
        if self.away:
            raise ConnectionError("hunter2")
        return self._key


def test_a_keyset_can_be_encrypted_by_a_key_management_service(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kms, file, uri = Kms(), tmp_path / "vault.json", "test-kms://key"
    tink.register_kms_client(kms)
    main(["create", str(file), "--kms-uri", uri])
    # Others may read what nobody but the service decrypts.
    file.chmod(0o644)
    keys = MasterKeys(file, uri)
    asked = kms.asked
    assert keys.unwrap(keys.wrap(b"secret", CONTEXT), CONTEXT) == b"secret"
    assert kms.asked == asked
    file.chmod(0o600)
    with pytest.raises(KeysetError, match="holds no AEAD keyset in clear"):
        MasterKeys(file)
    with pytest.raises(KeysetError, match="that the key management service decrypts"):
        MasterKeys(write_keyset(tmp_path / "clear.json"), uri)
    kms.away = True
    with pytest.raises(KeysetError, match=r"^the key management service cannot be asked .ConnectionError.$"):
        MasterKeys(file, uri)
    assert keys.unwrap(keys.wrap(b"secret", CONTEXT), CONTEXT) == b"secret"
    with pytest.raises(KeysetError, match="must begin with aws-kms:// or gcp-kms://"):
        MasterKeys(file, "hunter2")


@pytest.mark.parametrize("extra", ["awskms", "gcpkms"])
def test_a_key_management_services_library_that_is_missing_is_named(file: Path, extra: str) -> None:
    with pytest.raises(KeysetError, match=rf"install tink\[{extra}\]"):
        MasterKeys(file, f"{extra[:3]}-kms://key")


def test_ids_differ() -> None:
    keys = keyset.new_keyset()
    added = {keyset.add(keys) for _ in range(5)}
    assert len(added | {keys.primary_key_id}) == 6
