"""Export, deletion and consents with the SDK and the command, against all of Vitalis as `make up` runs it."""

import io
import json
import re
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from local.mailbox import wait_for_code
from local.runner import Stack
from tests.client.server.base import PASSWORD
from vitalis_client import FileSessions, Vitalis, VitalisError
from vitalis_client.cli import app


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    # PostgreSQL's own account has to be able to reach the directory, which it cannot below pytest's.
    with tempfile.TemporaryDirectory(prefix="vitalis-client-") as directory, Stack(Path(directory), port=0) as running:
        yield running


@pytest.fixture
def api(stack: Stack, config: Path, request: pytest.FixtureRequest) -> Iterator[Vitalis]:
    """Somebody new, logged in, with the tokens in the configuration directory."""
    address = f"{re.sub('[^a-z]', '-', request.node.name)}@example.com"
    with Vitalis(stack.url, sessions=FileSessions()) as client:
        client.register(address, PASSWORD, "Ada")
        client.verify_email(wait_for_code(stack.mailbox, address), PASSWORD)
        yield client


def run(stack: Stack, *arguments: str, typed: str = "") -> Result:
    runner = CliRunner(env={"VITALIS_URL": stack.url, "VITALIS_PASSWORD": PASSWORD})
    return runner.invoke(app, arguments, input=typed)


def test_an_export_arrives_as_a_file_and_as_a_link(stack: Stack, api: Vitalis, tmp_path: Path) -> None:
    file = tmp_path / "mine.zip"
    done = run(stack, "export", str(file), "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "ready"
    with zipfile.ZipFile(file) as archive:
        (user,) = json.loads(archive.read("identity/users.json"))
        assert user["email"] == api.me().email
        manifest = json.loads(archive.read("manifest.json"))
    assert set(manifest["services"]) == {"identity", "tracking", "labs"}
    assert file.stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    again = run(stack, "export", str(file))
    assert again.exit_code == 2
    assert "--force" in again.stderr

    (export,) = api.privacy.exports()
    assert export.status == "downloaded"
    link = api.privacy.export_link(export.id)
    answer = httpx.get(link)
    assert answer.headers["content-type"] == "application/zip"
    assert zipfile.ZipFile(io.BytesIO(answer.content)).testzip() is None
    assert api.privacy.revoke_export(export.id).status == "expired"
    refused = httpx.get(link)
    assert refused.status_code == 404
    assert refused.json()["error"]["details"][0]["reason"] == "EXPORT_LINK_INVALID"
    with pytest.raises(VitalisError) as caught:
        api.privacy.download(export, tmp_path / "other.zip")
    assert caught.value.reason == "EXPORT_NOT_READY"
    assert not (tmp_path / "other.zip").exists()


def test_the_path_of_the_specification(stack: Stack, api: Vitalis) -> None:
    session = FileSessions().load(stack.url)
    assert session
    headers = {"authorization": f"Bearer {session.access_token}"}
    made = httpx.post(f"{stack.url}/api/v1/me/export", headers=headers, json={})
    assert made.status_code == 200
    assert api.privacy.wait_for_export(made.json()["id"]).status == "ready"


def test_leaving_and_changing_ones_mind(stack: Stack, api: Vitalis) -> None:
    unsure = run(stack, "delete-account")
    assert unsure.exit_code == 2
    assert "--yes" in unsure.stderr
    assert list(api.privacy.deletions()) == []
    with pytest.raises(VitalisError) as caught:
        api.privacy.delete_account("wrong")
    assert caught.value.reason == "PROOF_REFUSED"

    sure = run(stack, "delete-account", "--yes")
    assert sure.exit_code == 0, sure.stderr
    assert "until then nothing changes" in sure.stderr
    kept = run(stack, "cancel-deletion")
    assert (kept.exit_code, kept.stderr) == (0, "cancelled: your account stays\n")
    nothing = run(stack, "cancel-deletion")
    assert nothing.exit_code == 2
    bad = run(stack, "cancel-deletion", "--token", "x")
    assert bad.exit_code != 0
    assert [deletion.status for deletion in api.privacy.deletions()] == ["canceled"]


def test_consents_and_what_goes_alone(stack: Stack, api: Vitalis) -> None:
    api.privacy.give_consent("mental_wellness_processing", "2026-11")
    assert api.privacy.withdraw_consent("mental_wellness_processing").given is False
    assert [c.given for c in api.privacy.consents(purpose="mental_wellness_processing")] == [False, True]
    assert api.privacy.erase_mental_wellness(PASSWORD).category == "mental_wellness"
