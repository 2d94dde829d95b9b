"""Deletions: asked for with a proof, cancelled within thirty days or carried out, and nobody's but the person's."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from services.identity.privacy.links import CANCEL_DELETION, EXPORT, Links, Target
from tests.harness import person, reason
from tests.identity.conftest import Identity
from tests.identity.factors import PASSWORD_HASH, somebody
from tests.privacy.conftest import Both, SignUp, Somebody, tampered
from tests.privacy.deletions import cancel, cancel_by_token, create, end_grace, known, listed
from vitalis.identity.v1 import deletions_pb2 as pb
from vitalis.identity.v1 import (
    second_factors_pb2,
)


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
            await both.databases["identity"].has_waiting()
        holder.commit()
    if first == "claim":
        assert await reason(cancelling) == "DELETION_STARTED"
    await both.run_task("advance_deletions")
    assert [d.status for d in await listed(ada)] == ["canceled" if first == "cancel" else "processing"]


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
