"""What the end of the grace period erases, whatever happens meanwhile."""

import asyncio
import json

import psycopg

from tests.harness import reason, service
from tests.people import make_family
from tests.privacy.conftest import Both, SignUp, Somebody
from tests.privacy.deletions import PROOF, create, due_now, end_grace, erased, files, fill, known, listed, record
from vitalis.common.v1 import person_data_pb2, person_data_pb2_grpc
from vitalis.identity.v1 import deletions_pb2 as pb


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
            await both.databases["tracking"].has_waiting(2)
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
