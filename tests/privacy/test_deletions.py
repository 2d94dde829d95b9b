"""Deletions: asking, changing one's mind, and being gone from every service, with a real tracking."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from services.identity.privacy.links import CANCEL_DELETION, EXPORT, Links, Target
from services.kit.caller import ANONYMOUS
from tests.harness import person, reason, service
from tests.identity.conftest import Identity
from tests.identity.factors import PASSWORD_HASH, somebody
from tests.people import make_family
from tests.privacy.conftest import PASSWORD, Both, SignUp, Somebody, tampered
from vitalis.common.v1 import person_data_pb2, person_data_pb2_grpc
from vitalis.identity.v1 import (
    consents_pb2,
    deletions_pb2_grpc,
    exports_pb2,
    second_factors_pb2,
    users_pb2,
    users_pb2_grpc,
)
from vitalis.identity.v1 import deletions_pb2 as pb

PROOF = second_factors_pb2.Proof(password=PASSWORD)


async def create(who: Somebody, proof: second_factors_pb2.Proof | None = PROOF) -> pb.Deletion:
    request = pb.CreateDeletionRequest(user_id=who.id, proof=proof)
    return (await who.deletions("CreateDeletion", request)).deletion


async def cancel(who: Somebody, deletion_id: str) -> pb.Deletion:
    request = pb.CancelDeletionRequest(user_id=who.id, id=deletion_id)
    return (await who.deletions("CancelDeletion", request)).deletion


async def cancel_by_token(both: Both, token: str) -> None:
    stub = deletions_pb2_grpc.DeletionsServiceStub(both.identity.channel)
    request = pb.CancelDeletionByTokenRequest(token=token)
    await stub.CancelDeletionByToken(request, metadata=both.identity.metadata(ANONYMOUS), timeout=30)


async def listed(who: Somebody) -> list[pb.Deletion]:
    return list((await who.deletions("ListDeletions", pb.ListDeletionsRequest(user_id=who.id))).deletions)


async def known(both: Both, who: Somebody) -> str:
    stub = users_pb2_grpc.UsersServiceStub(both.identity.channel)
    request = users_pb2.GetUserRequest(user_id=who.id)
    return (await stub.GetUser(request, metadata=both.identity.metadata(who.caller))).user.email


async def fill(who: Somebody) -> None:
    """Something in both services, rows, files and keys."""
    await who.write_days(1000, 2000)
    await who.upload()
    await who.consents("GiveConsent", consents_pb2.GiveConsentRequest(user_id=who.id, purpose="terms", version="1"))
    await who.exports("CreateExport", exports_pb2.CreateExportRequest(user_id=who.id))


def end_grace(both: Both) -> None:
    both.value("identity", "UPDATE deletion_requests SET grace_period_ends_at = now() WHERE status = 'pending'")


def due_now(both: Both) -> None:
    both.value("identity", "UPDATE deletion_requests SET next_attempt_at = now() WHERE status = 'processing'")


def record(both: Both, deletion_id: str) -> dict[str, Any]:
    row: dict[str, Any] = both.value(
        "identity", "SELECT to_jsonb(d) FROM deletion_requests AS d WHERE id = %s", deletion_id
    )
    return row


def files(both: Both) -> list[Path]:
    folders = (both.directory / name for name in ("objects", "exports"))
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


async def erased(both: Both, who: Somebody) -> str:
    """Both passes; the deletion's id."""
    deletion = await create(who)
    end_grace(both)
    await both.run_task("advance_deletions")
    due_now(both)
    await both.run_task("advance_deletions")
    return deletion.id


async def test_nothing_is_left_anywhere_but_a_record_that_names_nobody(
    both: Both, ada: Somebody, bert: Somebody
) -> None:
    await fill(ada)
    await fill(bert)
    await both.run_jobs(both.identity, "export_person")
    about_bert, before = both.about(bert.id), len(files(both))
    both.value(
        "identity",
        "INSERT INTO data_keys (user_id, purpose, wrapped_key, master_key_id) VALUES (%s, 'general', 'x', 1)",
        ada.id,
    )
    deletion_id = await erased(both, ada)

    assert both.about(ada.id) == []
    assert len(files(both)) == before / 2
    # Directories are named after people too.
    assert not [path for path in both.directory.rglob("*") if ada.id in str(path)]
    assert both.value("identity", "SELECT count(*) FROM data_keys") == 0
    assert sorted(both.about(bert.id)) == sorted(about_bert)
    done = record(both, deletion_id)
    assert (done["status"], done["user_id"]) == ("completed", None)
    assert done["erased"]["tracking"] == {"rows": {"imports": 1, "wearable_daily": 2}, "files": 1}
    assert done["erased"]["identity"]["rows"]["users"] == 1
    assert done["erased"]["identity"]["files"] == 1
    written = json.dumps(done)
    assert not [text for text in (ada.id, "ada@example.com", "Ada") if text in written]
    # The trail stays: what happened, and nothing of to whom.
    with psycopg.connect(both.databases["identity"].migrator_url) as owner:
        rows = owner.execute("SELECT old_values, new_values FROM audit_log WHERE user_id IS NULL").fetchall()
    assert rows
    assert set(rows) == {(None, None)}


async def test_thirty_days_by_the_databases_clock(both: Both, ada: Somebody) -> None:
    deletion = await create(ada)
    assert deletion.status == "pending"
    ends = deletion.grace_period_ends_at.ToDatetime(UTC)
    assert ends - deletion.requested_at.ToDatetime(UTC) == timedelta(days=30)
    await both.run_task("advance_deletions")
    assert await known(both, ada) == "ada@example.com"
    assert await listed(ada) == [deletion]
    end_grace(both)
    await both.run_task("advance_deletions")
    assert await reason(known(both, ada)) == "NOT_FOUND"
    assert [d.status for d in await listed(ada)] == ["processing"]


async def test_no_token_goes_to_an_address_that_is_not_proved(both: Both, ada: Somebody) -> None:
    both.value("identity", "UPDATE users SET email_verified_at = NULL")
    await create(ada)
    await both.run_jobs(both.identity, "mail_deletion")
    assert both.mails() == []


async def test_only_with_a_proof_and_only_once(both: Both, ada: Somebody) -> None:
    for proof in (None, second_factors_pb2.Proof(password="wrong"), second_factors_pb2.Proof(recovery_code="x")):
        assert await reason(create(ada, proof)) == "PROOF_REFUSED"
    assert await listed(ada) == []
    await create(ada)
    assert await reason(create(ada)) == "DELETION_PENDING"


async def test_codes_are_not_guessed_here_either(both: Both) -> None:
    owner = await somebody(Identity(both.identity), password_hash=PASSWORD_HASH)
    await owner.enable_totp()
    wrong = second_factors_pb2.Proof(totp_code=owner.wrong_code())
    guesses = [await reason(create(Somebody(both, owner.caller), wrong)) for _ in range(12)]
    assert set(guesses) == {"PROOF_REFUSED", "TOO_MANY_ATTEMPTS"}
    assert guesses[-1] == "TOO_MANY_ATTEMPTS"
    at_once = pb.EraseMentalWellnessRequest(user_id=owner.caller.subject, proof=wrong)
    assert await reason(Somebody(both, owner.caller).deletions("EraseMentalWellness", at_once)) == "TOO_MANY_ATTEMPTS"


async def test_who_has_no_password_proves_it_by_having_just_logged_in(both: Both, sign_up: SignUp) -> None:
    cara = await sign_up("Cara", with_password=False)
    assert await reason(create(cara, None)) == "PROOF_REFUSED"
    session_id = both.value(
        "identity",
        "INSERT INTO sessions (id, user_id, expires_at) VALUES (gen_random_uuid(), %s, now() + interval '1 day')"
        " RETURNING id",
        cara.id,
    )
    cara.log_in(str(session_id))
    assert (await create(cara, None)).status == "pending"


async def test_cancelled_by_the_person_or_by_the_mails_token(both: Both, ada: Somebody) -> None:
    first = await create(ada)
    await both.run_jobs(both.identity, "mail_deletion")
    (mail,) = both.mails()
    assert mail["To"] == "ada@example.com"
    assert f"{first.grace_period_ends_at.ToDatetime(UTC):%Y-%m-%d %H:%M}" in mail.get_content()
    token = both.mailed_link()
    assert (await cancel(ada, first.id)).status == "canceled"
    assert (await cancel(ada, first.id)).status == "canceled"
    # Spent with the deletion that it was for.
    assert await reason(cancel_by_token(both, token)) == "DELETION_TOKEN_INVALID"
    second = await create(ada)
    assert await reason(cancel_by_token(both, token)) == "DELETION_TOKEN_INVALID"
    await both.run_jobs(both.identity, "mail_deletion")
    await cancel_by_token(both, both.mailed_link())
    assert [(d.id, d.status) for d in await listed(ada)] == [(second.id, "canceled"), (first.id, "canceled")]
    end_grace(both)
    await both.run_task("advance_deletions")
    assert await known(both, ada) == "ada@example.com"


async def test_no_other_token_cancels(both: Both, ada: Somebody, bert: Somebody) -> None:
    deletion = await create(ada)
    links = Links([both.directory / "signing.pem"])
    soon = datetime.now(UTC) + timedelta(days=1)
    mine = Target(UUID(ada.id), UUID(deletion.id))
    for token in (
        "x",
        links.sign(EXPORT, mine, soon),
        links.sign(CANCEL_DELETION, mine, datetime.now(UTC) - timedelta(seconds=2)),
        links.sign(CANCEL_DELETION, Target(UUID(bert.id), mine.id), soon),
        tampered(links.sign(CANCEL_DELETION, mine, soon)),
    ):
        assert await reason(cancel_by_token(both, token)) == "DELETION_TOKEN_INVALID"
    assert [d.status for d in await listed(ada)] == ["pending"]


async def test_after_the_thirty_days_it_is_too_late(both: Both, ada: Somebody) -> None:
    deletion = await create(ada)
    await both.run_jobs(both.identity, "mail_deletion")
    end_grace(both)
    # The job has not come by yet.
    assert await reason(cancel(ada, deletion.id)) == "DELETION_STARTED"
    assert await reason(cancel_by_token(both, both.mailed_link())) == "DELETION_TOKEN_INVALID"


@pytest.mark.parametrize("first", ["cancel", "claim"])
async def test_cancelling_and_the_end_of_the_grace_never_both_win(both: Both, ada: Somebody, first: str) -> None:
    """Whichever changes the row first has it: the other waits for its lock, or passes it by, and does nothing."""
    deletion = await create(ada)
    url = both.databases["identity"].migrator_url
    with psycopg.connect(url) as holder:
        if first == "cancel":
            # As if it had been in time, and were not yet committed when the grace ended.
            holder.execute("UPDATE deletion_requests SET status = 'canceled', canceled_at = now()")
            await both.run_task("advance_deletions")
            assert await known(both, ada)
        else:
            holder.execute("UPDATE deletion_requests SET status = 'processing', next_attempt_at = now()")
            cancelling = asyncio.create_task(cancel(ada, deletion.id))
            async with asyncio.timeout(30):
                while not both.value("identity", "SELECT count(*) FROM pg_locks WHERE NOT granted"):
                    await asyncio.sleep(0.02)
        holder.commit()
    if first == "claim":
        assert await reason(cancelling) == "DELETION_STARTED"
    await both.run_task("advance_deletions")
    assert [d.status for d in await listed(ada)] == ["canceled" if first == "cancel" else "processing"]


async def test_a_service_that_is_away_is_waited_for(both: Both, ada: Somebody) -> None:
    """Longer than the first retries; what has been erased stays so, and the person's row goes last."""
    await fill(ada)
    deletion = await create(ada)
    end_grace(both)
    await both.stop_tracking()
    waits = []
    for _ in range(8):
        await both.run_task("advance_deletions")
        query = "SELECT extract(epoch FROM next_attempt_at - now())::float FROM deletion_requests"
        waits.append(round(both.value("identity", query) / 60))
        # Its row stays as long as anything of theirs is anywhere.
        assert both.value("identity", "SELECT account_status FROM users WHERE id = %s", ada.id) == "deleted"
        await both.run_task("advance_deletions")
        assert record(both, deletion.id)["attempts"] == len(waits)
        due_now(both)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    await both.start_tracking()
    async with asyncio.timeout(30):
        # The channel finds it within two seconds.
        while record(both, deletion.id)["status"] != "completed":
            due_now(both)
            await both.run_task("advance_deletions")
            await asyncio.sleep(0.1)
    assert both.about(ada.id) == []


async def test_what_was_under_way_when_the_account_closed_goes_in_the_second_pass(both: Both, ada: Somebody) -> None:
    deletion = await create(ada)
    end_grace(both)
    await both.run_task("advance_deletions")
    assert not [row for row in both.about(ada.id) if row.startswith("wearable")]
    # With an access token that has minutes to live, and an upload that had begun.
    await ada.write_days(1, 2, 3)
    await ada.upload()
    wait = both.value("identity", "SELECT extract(epoch FROM next_attempt_at - now())::float FROM deletion_requests")
    assert wait > 60 * 60 + 15 * 60
    due_now(both)
    await both.run_task("advance_deletions")
    assert both.about(ada.id) == []
    assert files(both) == []
    assert record(both, deletion.id)["erased"]["tracking"]["rows"] == {"imports": 1, "wearable_daily": 3}


async def test_an_import_that_runs_meanwhile_leaves_nothing(both: Both, ada: Somebody) -> None:
    await ada.upload()
    await create(ada)
    end_grace(both)
    with psycopg.connect(both.databases["tracking"].migrator_url) as holder:
        holder.execute("SELECT pg_advisory_xact_lock(hashtextextended('imports:' || %s, 0))", [ada.id])
        async with both.worker(both.tracking):
            erasing = asyncio.create_task(both.run_task("advance_deletions"))
            waiting = (
                "SELECT count(*) FROM pg_locks JOIN pg_database ON oid = database"
                " WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()"
            )
            async with asyncio.timeout(30):
                while both.value("tracking", waiting) < 2:
                    await asyncio.sleep(0.02)
            holder.commit()
            await erasing
    due_now(both)
    await both.run_task("advance_deletions")
    assert both.about(ada.id) == []


async def test_a_worker_that_dies_between_any_two_steps_is_no_loss(both: Both, ada: Somebody) -> None:
    """Every step again, from each point that one can have come to."""
    await fill(ada)
    deletion = await create(ada)
    end_grace(both)
    for passes, answered in ((0, []), (0, ["tracking"]), (1, [])):
        if passes:
            # It died when identity's own had gone, before it could say so.
            stub = person_data_pb2_grpc.PersonDataServiceStub(both.identity.channel)
            erase = person_data_pb2.ErasePersonDataRequest(user_id=ada.id)
            await stub.ErasePersonData(erase, metadata=both.identity.metadata(service(ada.id)))
        both.value(
            "identity",
            "UPDATE deletion_requests SET status = 'processing', passes = %s, answered = %s, next_attempt_at = now()",
            passes,
            answered,
        )
        await both.run_task("advance_deletions")
    assert record(both, deletion.id)["status"] == "completed"
    assert both.about(ada.id) == []


async def test_one_that_cannot_be_finished_holds_nobody_up(both: Both, ada: Somebody, bert: Somebody) -> None:
    for who in (ada, bert):
        await create(who)
    # Something that nobody thought of refers to her.
    both.value("identity", "CREATE TABLE later (who uuid REFERENCES users)")
    both.value("identity", "INSERT INTO later VALUES (%s)", ada.id)
    end_grace(both)
    for _ in range(2):
        await both.run_task("advance_deletions")
        due_now(both)
    assert both.about(bert.id) == []
    assert both.value("identity", "SELECT count(*) FROM users WHERE id = %s", ada.id) == 1
    both.value("identity", "DROP TABLE later")
    await both.run_task("advance_deletions")
    assert both.about(ada.id) == []


async def test_the_sessions_end_and_the_household_lives_on(both: Both, sign_up: SignUp) -> None:
    ada, bert = await sign_up("Ada"), await sign_up("Bert")
    make_family(both.databases["identity"], ada.id, bert.id)
    both.value(
        "identity",
        "INSERT INTO sessions (id, user_id, expires_at) VALUES (gen_random_uuid(), %s, now() + interval '1 day')",
        ada.id,
    )
    await create(ada)
    end_grace(both)
    await both.run_task("advance_deletions")
    assert both.value("identity", "SELECT count(*) FROM sessions WHERE revoked_at IS NULL") == 0
    due_now(both)
    await both.run_task("advance_deletions")
    assert both.about(ada.id) == []
    owner = "SELECT accounts.owner_id::text FROM users JOIN accounts ON accounts.id = account_id WHERE users.id = %s"
    assert both.value("identity", owner, bert.id) == bert.id
    assert await known(both, bert) == "bert@example.com"


async def test_what_others_shared_with_the_person_goes_and_does_not_remember_them(
    both: Both, ada: Somebody, bert: Somebody
) -> None:
    both.value(
        "identity",
        "INSERT INTO grants (id, user_id, grantee_email, grantee_id, scopes, relation, status, consent_version,"
        " consent_address, invitation_expires_at, accepted_at) VALUES (gen_random_uuid(), %s, 'ada@example.com', %s,"
        " '{wearables.read}', 'person', 'active', '1', '', now(), now())",
        bert.id,
        ada.id,
    )
    both.value("identity", "UPDATE grants SET note = 'for Ada'")
    await erased(both, ada)
    assert both.about(ada.id) == []
    assert both.value("identity", "SELECT count(*) FROM grants") == 0
    trail = "SELECT array_agg(action ORDER BY created_at) FROM audit_log WHERE table_name = 'grants' AND user_id = %s"
    assert both.value("identity", trail, bert.id) == ["INSERT", "UPDATE", "DELETE"]


async def test_mental_wellness_goes_alone_and_at_once(both: Both, ada: Somebody) -> None:
    await fill(ada)
    # It cannot be taken back, so an access token is not enough.
    stolen = pb.EraseMentalWellnessRequest(user_id=ada.id)
    assert await reason(ada.deletions("EraseMentalWellness", stolen)) == "PROOF_REFUSED"
    request = pb.EraseMentalWellnessRequest(user_id=ada.id, proof=PROOF)
    deletion = (await ada.deletions("EraseMentalWellness", request)).deletion
    assert deletion.category == "mental_wellness"
    assert await reason(ada.deletions("EraseMentalWellness", request)) == "DELETION_PENDING"
    await both.run_jobs(both.identity, "erase_at_once")
    assert [(d.id, d.status) for d in await listed(ada)] == [(deletion.id, "completed")]
    assert await known(both, ada) == "ada@example.com"
    assert record(both, deletion.id)["erased"] == {
        "identity": {"rows": {}, "files": 0},
        "tracking": {"rows": {}, "files": 0},
    }
    assert (await ada.deletions("EraseMentalWellness", request)).deletion.id != deletion.id


async def test_a_deletion_is_its_owners(both: Both, ada: Somebody, bert: Somebody) -> None:
    deletion = await create(ada)
    assert await reason(cancel(bert, deletion.id)) == "NOT_FOUND"
    bad = pb.ListDeletionsRequest(user_id=ada.id, page_token="x")
    assert await reason(ada.deletions("ListDeletions", bad)) == "INVALID_PAGE_TOKEN"


def test_only_a_service_finishes_a_deletion(both: Both) -> None:
    somebody = person()
    with psycopg.connect(both.databases["identity"].migrator_url) as owner:
        owner.execute(
            "INSERT INTO deletion_requests (id, user_id, grace_period_ends_at) VALUES (gen_random_uuid(), %s, now())",
            [somebody.subject],
        )
    with psycopg.connect(both.databases["identity"].app_url) as app:
        app.execute("SELECT set_config('app.subject_id', %s, true)", [somebody.subject])
        app.execute("SELECT finish_deletion(id, '{}') FROM deletion_requests")
    assert both.value("identity", "SELECT status FROM deletion_requests") == "pending"
