"""Exports through the stub, with the worker of identity collecting from a real tracking."""

import asyncio
import csv
import hashlib
import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.identity.privacy.archive import FORMULA, Archive, cell
from services.identity.privacy.links import EXPORT, Links, Target
from services.kit.caller import ANONYMOUS, load_private_key
from tests.harness import failure, reason
from tests.privacy.conftest import FILE, Both, Somebody, tampered
from vitalis.common.v1 import person_data_pb2
from vitalis.identity.v1 import consents_pb2, exports_pb2, exports_pb2_grpc
from vitalis.identity.v1 import exports_pb2 as pb
from vitalis.tracking.v1 import wearables_pb2, wearables_pb2_grpc


async def create(who: Somebody, request_id: str = "") -> pb.Export:
    request = pb.CreateExportRequest(user_id=who.id, request_id=request_id)
    return (await who.exports("CreateExport", request)).export


async def get(who: Somebody, export_id: str) -> pb.Export:
    return (await who.exports("GetExport", pb.GetExportRequest(user_id=who.id, id=export_id))).export


async def revoke(who: Somebody, export_id: str) -> pb.Export:
    return (await who.exports("RevokeExport", pb.RevokeExportRequest(user_id=who.id, id=export_id))).export


async def made(both: Both, who: Somebody) -> pb.Export:
    """A finished export."""
    export = await create(who)
    await both.run_jobs(both.identity, "export_person")
    return await get(who, export.id)


async def link(who: Somebody, export_id: str) -> str:
    """The token of a link."""
    answer = await who.exports("CreateExportLink", pb.CreateExportLinkRequest(user_id=who.id, id=export_id))
    return token_of(answer.url)


def token_of(url: str) -> str:
    return url.split("/")[-2]


async def download(both: Both, token: str) -> bytes:
    """What somebody without an account gets."""
    stub = exports_pb2_grpc.ExportsServiceStub(both.identity.channel)
    request = pb.DownloadExportRequest(token=token)
    call = stub.DownloadExport(request, metadata=both.identity.metadata(ANONYMOUS), timeout=30)
    return b"".join([part.file.data async for part in call])


async def opened(both: Both, who: Somebody, export: pb.Export) -> zipfile.ZipFile:
    content = await download(both, await link(who, export.id))
    assert hashlib.sha256(content).hexdigest() == export.file_sha256
    assert len(content) == export.file_size_bytes
    return zipfile.ZipFile(io.BytesIO(content))


def rows(archive: zipfile.ZipFile, table: str) -> list[dict[str, Any]]:
    """A table of the archive, whose two forms agree."""
    exact = json.loads(archive.read(f"{table}.json"))
    text = archive.read(f"{table}.csv").decode()
    columns, *lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert lines == [[cell(row[column]) for column in columns] for row in exact]
    assert all(row.keys() == set(columns) for row in exact)
    return list(exact)


def files(both: Both) -> list[Path]:
    return [path for path in (both.directory / "exports").rglob("*") if path.is_file()]


async def test_the_file_is_what_the_apis_show(both: Both, ada: Somebody, bert: Somebody) -> None:
    await ada.write_days(1000, 2000)
    await bert.write_days(7777)
    import_id = await ada.upload()
    await ada.consents("GiveConsent", consents_pb2.GiveConsentRequest(user_id=ada.id, purpose="terms", version="1"))
    export = await made(both, ada)
    assert export.status == "ready"
    assert export.expires_at.seconds - export.completed_at.seconds == 7 * 24 * 3600
    archive = await opened(both, ada, export)
    assert archive.testzip() is None

    tracking = wearables_pb2_grpc.WearablesServiceStub(both.tracking.channel)
    shown = await tracking.ListWearableDaily(
        wearables_pb2.ListWearableDailyRequest(user_id=ada.id), metadata=both.tracking.metadata(ada.caller)
    )
    days = rows(archive, "tracking/wearable_daily")
    assert {(row["id"], row["date"], row["steps"], row["source"]) for row in days} == {
        (day.id, day.date, day.steps, day.source) for day in shown.wearable_daily
    }
    (user,) = rows(archive, "identity/users")
    assert (user["id"], user["email"], user["display_name"]) == (ada.id, "ada@example.com", "Ada")
    assert "password_hash" not in user
    assert [row["purpose"] for row in rows(archive, "identity/consents")] == ["terms"]
    assert archive.read(f"tracking/files/imports/{import_id}") == FILE

    manifest = json.loads(archive.read("manifest.json"))
    for service, held in manifest["services"].items():
        for name, table in held["tables"].items():
            assert table["rows"] == len(rows(archive, f"{service}/{name}"))
    assert set(manifest["services"]) == {"identity", "tracking"}
    assert manifest["services"]["tracking"]["left_out"]["idempotency_keys"]
    assert export.row_count == sum(t["rows"] for s in manifest["services"].values() for t in s["tables"].values())
    assert export.file_count == 1
    named = {name for name in archive.namelist() if name.endswith(".json")} - {"manifest.json"}
    assert named == {f"{s}/{t}.json" for s, held in manifest["services"].items() for t in held["tables"]}

    everything = b"".join(archive.read(name) for name in archive.namelist())
    assert bert.id.encode() not in everything
    assert b"7777" not in everything
    assert b"$argon2" not in everything


async def test_the_link_is_mailed_and_works_without_logging_in(both: Both, ada: Somebody) -> None:
    export = await made(both, ada)
    await both.run_jobs(both.identity, "mail_export")
    (mail,) = both.mails()
    assert mail["To"] == "ada@example.com"
    content = await download(both, both.mailed_link())
    assert zipfile.ZipFile(io.BytesIO(content)).namelist()
    after = await get(ada, export.id)
    assert after.status == "downloaded"
    assert after.HasField("downloaded_at")
    # As often as one likes, while it lasts.
    assert await download(both, both.mailed_link()) == content


async def test_no_link_goes_to_an_address_that_is_not_proved(both: Both, ada: Somebody) -> None:
    """It may be a stranger's, who would have everything."""
    both.value("identity", "UPDATE users SET email_verified_at = NULL")
    export = await made(both, ada)
    await both.run_jobs(both.identity, "mail_export")
    assert both.mails() == []
    assert (await get(ada, export.id)).status == "ready"


async def test_a_link_ends_when_the_account_closes(both: Both, ada: Somebody) -> None:
    """The file itself goes last, and a service that is away puts that off."""
    await made(both, ada)
    await both.run_jobs(both.identity, "mail_export")
    assert await download(both, both.mailed_link())
    both.value("identity", "UPDATE users SET deleted_at = now(), account_status = 'deleted'")
    assert await reason(download(both, both.mailed_link())) == "EXPORT_LINK_INVALID"


async def test_no_link_but_the_right_one_opens_anything(both: Both, ada: Somebody, bert: Somebody) -> None:
    one, other = await made(both, ada), await made(both, bert)
    token = await link(ada, one.id)
    key_file = both.directory / "signing.pem"
    links = Links([key_file])
    soon, past = datetime.now(UTC) + timedelta(days=1), datetime.now(UTC) - timedelta(seconds=2)
    mine = Target(UUID(ada.id), UUID(one.id))
    head, _, signature = token.split(".")
    claims = jwt.decode(token, options={"verify_signature": False})
    wrong = {
        "altered signature": tampered(token),
        "altered claims": f"{head}.{jwt.encode({**claims, 'jti': other.id}, 'x' * 32).split('.')[1]}.{signature}",
        "unsigned": jwt.encode(claims, "", algorithm="none"),
        "signed with what everybody knows": jwt.encode(claims, "public" * 8, algorithm="HS256"),
        "expired": links.sign(EXPORT, mine, past),
        "somebody else's export": links.sign(EXPORT, Target(UUID(ada.id), UUID(other.id)), soon),
        "somebody else": links.sign(EXPORT, Target(UUID(bert.id), UUID(one.id)), soon),
        "for something else": links.sign("vitalis-api", mine, soon),
        "no person": jwt.encode({**claims, "sub": "me"}, load_private_key(key_file), algorithm="EdDSA"),
        "no token": "x",
        "another's key": jwt.encode(claims, load_private_key(both.directory / "gateway.pem"), algorithm="EdDSA"),
    }
    for what, attempt in wrong.items():
        refused = await failure(download(both, attempt))
        assert (what, refused.reason.name) == (what, "EXPORT_LINK_INVALID")
        assert ada.id not in refused.message
    assert await download(both, token)
    assert (await get(bert, other.id)).status == "ready"


async def test_an_access_token_is_no_link_and_a_link_no_access_token(both: Both, ada: Somebody) -> None:
    token = await link(ada, (await made(both, ada)).id)
    with pytest.raises(jwt.InvalidAudienceError):
        jwt.decode(
            token, load_private_key(both.directory / "signing.pem").public_key(), ["EdDSA"], audience="vitalis-api"
        )


async def test_a_revoked_export_is_gone_with_every_link(both: Both, ada: Somebody) -> None:
    export = await made(both, ada)
    token = await link(ada, export.id)
    assert len(files(both)) == 1
    assert (await revoke(ada, export.id)).status == "expired"
    assert files(both) == []
    assert await reason(download(both, token)) == "EXPORT_LINK_INVALID"
    request = pb.CreateExportLinkRequest(user_id=ada.id, id=export.id)
    assert await reason(ada.exports("CreateExportLink", request)) == "EXPORT_NOT_READY"
    assert (await revoke(ada, export.id)).status == "expired"


async def test_a_file_goes_when_its_seven_days_are_over_by_the_databases_clock(both: Both, ada: Somebody) -> None:
    export = await made(both, ada)
    token = await link(ada, export.id)
    await both.run_task("remove_exports")
    assert (await get(ada, export.id)).status == "ready"
    both.value("identity", "UPDATE data_export_requests SET expires_at = now()")
    # Even before the job has come by.
    assert await reason(download(both, token)) == "EXPORT_LINK_INVALID"
    await both.run_task("remove_exports")
    assert (await get(ada, export.id)).status == "expired"
    assert files(both) == []


async def test_one_export_at_a_time_and_a_repeat_is_the_first(both: Both, ada: Somebody) -> None:
    first = await create(ada, "one")
    assert await create(ada, "one") == first
    assert await reason(create(ada, "two")) == "EXPORT_RUNNING"
    assert await reason(revoke(ada, first.id)) == "EXPORT_NOT_READY"
    outcomes = await asyncio.gather(*(create(ada) for _ in range(5)), return_exceptions=True)
    assert not [outcome for outcome in outcomes if isinstance(outcome, exports_pb2.Export)]
    request = pb.CreateExportRequest(user_id=ada.id, request_id="one")
    await both.run_jobs(both.identity, "export_person")
    second = await create(ada)
    assert second.id != first.id
    assert (await ada.exports("CreateExport", request)).export.id == first.id
    listed = await ada.exports("ListExports", pb.ListExportsRequest(user_id=ada.id))
    assert [export.id for export in listed.exports] == [second.id, first.id]
    bad = pb.ListExportsRequest(user_id=ada.id, page_token="x")
    assert await reason(ada.exports("ListExports", bad)) == "INVALID_PAGE_TOKEN"


async def test_a_request_id_is_for_one_request(both: Both, ada: Somebody) -> None:
    await ada.consents(
        "GiveConsent",
        consents_pb2.GiveConsentRequest(user_id=ada.id, purpose="terms", version="1", request_id="same"),
    )
    assert await reason(create(ada, "same")) == "REQUEST_ID_REUSED"


async def test_a_new_export_takes_the_place_of_the_one_before(both: Both, ada: Somebody) -> None:
    first = await made(both, ada)
    token = await link(ada, first.id)
    second = await made(both, ada)
    assert [path.name for path in files(both)] == [second.id]
    assert (await get(ada, first.id)).status == "expired"
    assert await reason(download(both, token)) == "EXPORT_LINK_INVALID"


async def test_an_export_waits_for_a_service_that_is_away(both: Both, ada: Somebody) -> None:
    await ada.write_days(1234)
    await both.stop_tracking()
    export = await create(ada)
    async with both.worker(both.identity), asyncio.timeout(60):
        while not both.value("identity", "SELECT count(*) FROM data_export_requests WHERE attempts >= 2"):
            await asyncio.sleep(0.05)
        assert (await get(ada, export.id)).status == "processing"
        await both.start_tracking()
        while (await get(ada, export.id)).status != "ready":
            await asyncio.sleep(0.05)
    archive = await opened(both, ada, await get(ada, export.id))
    assert [row["steps"] for row in rows(archive, "tracking/wearable_daily")] == [1234]
    assert not list(both.directory.glob("vitalis-export-*"))


async def test_an_export_that_nothing_came_of_is_given_up(both: Both, ada: Somebody) -> None:
    export = await create(ada)
    both.value("identity", "UPDATE data_export_requests SET requested_at = now() - interval '25 hours'")
    await both.run_task("remove_exports")
    assert (await get(ada, export.id)).status == "failed"
    assert (await create(ada)).status == "queued"


async def test_what_happened_to_an_export_is_in_the_trail(both: Both, ada: Somebody) -> None:
    export = await made(both, ada)
    await download(both, await link(ada, export.id))
    await revoke(ada, export.id)
    steps = both.value(
        "identity",
        "SELECT array_agg(new_values ->> 'step' ORDER BY created_at) FROM audit_log"
        " WHERE user_id = %s AND action = 'EXPORT' AND record_id = %s",
        ada.id,
        export.id,
    )
    assert steps == ["requested", "ready", "link", "downloading", "revoked"]


async def test_neither_log_nor_queue_nor_table_has_the_link(
    both: Both, ada: Somebody, capfd: pytest.CaptureFixture[str]
) -> None:
    await made(both, ada)
    await both.run_jobs(both.identity, "mail_export")
    token = both.mailed_link()
    await download(both, token)
    written = "".join(capfd.readouterr()) + "".join(both.about(ada.id))
    assert token not in written
    assert token.split(".")[2] not in written


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


@given(st.lists(st.fixed_dictionaries({"a": VALUES, "b": TEXTS}), max_size=5))
def test_both_forms_hold_every_row_whatever_is_in_it(
    tmp_path_factory: pytest.TempPathFactory, given_rows: list[dict[str, Any]]
) -> None:
    directory = tmp_path_factory.mktemp("archive")
    archive = Archive(directory / "export.zip", directory, "somebody")
    table = person_data_pb2.ExportedTable(name="things", columns=["a", "b"])
    archive.add("probe", person_data_pb2.ExportPersonDataResponse(table=table))
    texts = person_data_pb2.ExportedRows(rows=[json.dumps(row, ensure_ascii=False) for row in given_rows])
    archive.add("probe", person_data_pb2.ExportPersonDataResponse(rows=texts))
    assert archive.close().rows == len(given_rows)
    with zipfile.ZipFile(directory / "export.zip") as done:
        assert rows(done, "probe/things") == given_rows


@given(TEXTS)
def test_no_text_becomes_a_formula_and_none_is_lost(text: str) -> None:
    written = cell(text)
    assert not written.startswith(FORMULA)
    assert written.removeprefix("'") == text.removeprefix("'")


def test_numbers_are_no_formulas() -> None:
    assert [cell(value) for value in (-1.5, -3, True, None, 0.1)] == ["-1.5", "-3", "true", "", "0.1"]
