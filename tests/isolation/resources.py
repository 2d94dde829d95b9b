"""How a person comes to have one of each kind of resource, and everything that is stored about them."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from services.kit.caller import Caller
from services.kit.database import uuid7
from tests.databases import ServiceDatabase
from tests.harness import Running, drain, person, service
from tests.identity.coaching.coached import coached
from tests.identity.conftest import Identity
from tests.identity.factors import BY_PASSWORD, somebody
from tests.people import insert_person, make_family, sign_up
from tests.rpcs import Rpc, rpcs
from vitalis.identity.v1 import onboarding_pb2
from vitalis.options.v1.options_pb2 import AUDIENCE_ADMIN, AUDIENCE_INTERNAL


class Owned(NamedTuple):
    """Somebody, and the id of a resource of theirs."""

    owner: Caller
    id: str


Maker = Callable[[Running], Awaitable[Owned]]
REQUEST_ID = "the-same-for-everybody"


async def make(collection: str, running: Running) -> Owned:
    """Somebody who has one of these. Fails for a kind of resource that nobody has said how to make."""
    if maker := MAKERS.get(collection):
        return await maker(running)
    of_it = {rpc.method.name: rpc for rpc in rpcs() if rpc.collection == collection}
    ways = [name for verb in ("Create", "BatchUpsert") for name in of_it if name.startswith(verb)]
    lists = [name for name in of_it if name.startswith("List")]
    assert all((ways, lists)), f"say in tests/isolation/resources.py how somebody comes to have one of {collection}"
    owner = signed_up(running)
    await call(running, of_it[ways[0]], owner, request_id=REQUEST_ID)
    return Owned(owner, _first_id(await call(running, of_it[lists[0]], owner)))


async def call(running: Running, rpc: Rpc, caller: Caller, **given: Any) -> Any:
    """One call as somebody, about themselves unless it says otherwise."""
    requests = rpc.ask(**{"user_id": caller.subject, **given})
    return await rpc.call(running.channel, requests, running.metadata(caller))


def entitled(running: Running, rpc: Rpc, subject: str = "") -> Caller:
    """Somebody who may call the RPC about the subject, with every scope."""
    if rpc.access.audience == AUDIENCE_INTERNAL:
        return service(subject or person().subject)
    if rpc.access.audience == AUDIENCE_ADMIN:
        # Identity asks its own database whether somebody still is one.
        mail = f"{uuid7()}@example.com"
        admin = insert_person(running.database, mail, role="admin") if running.name == "identity" else person().subject
        return replace(person(admin, "admin"), subject=subject or person().subject)
    return person(subject)


def _first_id(response: Any) -> str:
    rows = next(value for field, value in response.ListFields() if field.is_repeated)
    return str(rows[0].id)


def signed_up(running: Running) -> Caller:
    """Somebody new, whom identity knows if it is asked about them."""
    if running.name != "identity":
        return person()
    return person(insert_person(running.database, f"{uuid7()}@example.com"))


async def _registered(running: Running) -> Owned:
    answer = await sign_up(running)
    return Owned(person(answer.user.id), answer.user.id)


async def _linked(running: Running) -> Owned:
    """What a log-in at a provider would have written; there is none here to log in at."""
    owner, _ = await make("users", running)
    identity_id = str(uuid7())
    with psycopg.connect(running.database.migrator_url) as connection:
        connection.execute(
            "INSERT INTO oauth_identities (id, user_id, provider, provider_user_id, access_token_enc)"
            " VALUES (%s, %s, 'google', %s, 'token')",
            [identity_id, owner.subject, owner.subject],
        )
    return Owned(owner, identity_id)


async def _family(running: Running) -> Owned:
    """The owner of a household, and its other member."""
    people = [insert_person(running.database, f"{name}@example.com") for name in ("ada", "bob")]
    make_family(running.database, *people)
    return Owned(person(people[0]), people[1])


async def _invited(running: Running) -> Owned:
    """The owner of a household, and an invitation that they have sent."""
    owner, _ = await _family(running)
    invite = next(rpc for rpc in rpcs() if rpc.method.name == "CreateAccountInvitation")
    answer = await call(running, invite, owner)
    return Owned(owner, answer.account_invitation.id)


async def _sharing(running: Running) -> Owned:
    owner, _ = await make("users", running)
    create = next(rpc for rpc in rpcs() if rpc.method.name == "CreateGrant")
    return Owned(owner, (await call(running, create, owner, request_id=REQUEST_ID)).grant.id)


async def _shared_with(running: Running) -> Owned:
    """Somebody who has been given something, without the mail that asks for it."""
    grantee, _ = await make("users", running)
    grant_id = str(uuid7())
    with psycopg.connect(running.database.migrator_url) as connection:
        connection.execute(
            "INSERT INTO grants (id, user_id, grantee_email, grantee_id, scopes, relation, status, consent_version,"
            " consent_address, invitation_expires_at, accepted_at)"
            " VALUES (%s, %s, 'ada@example.com', %s, '{wearables.read}', 'person', 'active', '1', '', now(), now())",
            [grant_id, insert_person(running.database, "owner@example.com"), grantee.subject],
        )
    return Owned(grantee, grant_id)


async def _consented(running: Running) -> Owned:
    owner = person()
    give = next(rpc for rpc in rpcs() if rpc.method.name == "GiveConsent")
    return Owned(owner, (await call(running, give, owner, request_id=REQUEST_ID)).consent.id)


async def _logged_in(running: Running) -> Owned:
    answer = await sign_up(running)
    owner = person(answer.user.id)
    listed = next(rpc for rpc in rpcs() if rpc.method.name == "ListSessions")
    return Owned(owner, _first_id(await call(running, listed, owner)))


async def _onboarding(running: Running) -> Owned:
    """Somebody who has been welcomed."""
    owner, _ = await make("users", running)
    save = next(rpc for rpc in rpcs() if rpc.method.name == "SaveOnboardingStep")
    answers = onboarding_pb2.OnboardingAnswers(welcome=onboarding_pb2.WelcomeAnswers(acknowledged=True))
    await call(running, save, owner, step=0, answers=answers)
    return Owned(owner, owner.subject)


async def _to_reset(running: Running) -> Owned:
    """Somebody who has begun, and agrees to begin anew."""
    owner, _ = await _onboarding(running)
    give = next(rpc for rpc in rpcs() if rpc.method.name == "GiveConsent")
    await call(running, give, owner, purpose="onboarding_reset")
    return Owned(owner, owner.subject)


async def _leaving(running: Running) -> Owned:
    """Somebody who has asked for their deletion; asking needs a proof, which tests/privacy has."""
    owner, _ = await make("users", running)
    deletion_id = str(uuid7())
    with psycopg.connect(running.database.migrator_url) as connection:
        connection.execute(
            "INSERT INTO deletion_requests (id, user_id, grace_period_ends_at)"
            " VALUES (%s, %s, now() + interval '30 days')",
            [deletion_id, owner.subject],
        )
    return Owned(owner, deletion_id)


async def _coached(running: Running) -> Owned:
    """Somebody with a coaching profile, as a confirmed onboarding leaves it."""
    owner = await coached(running)
    return Owned(owner.caller, (await owner.read()).id)


async def _measured(running: Running) -> Owned:
    """Somebody with a panel, and one of its markers."""
    owner, _ = await make("blood-panels", running)
    listed = next(rpc for rpc in rpcs() if rpc.method.name == "ListBloodMarkers")
    return Owned(owner, _first_id(await call(running, listed, owner)))


async def _documented(running: Running) -> Owned:
    """Somebody who has uploaded a document, whose reading waits."""
    owner = person()
    create = next(rpc for rpc in rpcs() if rpc.method.name == "CreateDocument")
    return Owned(owner, (await call(running, create, owner, request_id=REQUEST_ID)).document.id)


async def _read(running: Running) -> Owned:
    """Somebody with a document that nothing could be read in, and a value that they have entered."""
    owner, document_id = await make("documents", running)
    await drain(running)
    create = next(rpc for rpc in rpcs() if rpc.method.name == "CreateDocumentValue")
    return Owned(owner, (await call(running, create, owner, id=document_id)).document_value.id)


def _as(collection: str) -> Maker:
    async def maker(running: Running) -> Owned:
        return await make(collection, running)

    return maker


async def _anything(running: Running) -> Owned:
    something = {"identity": "users", "tracking": "wearable-daily", "labs": "doctor-visits"}
    return await make(something[running.name], running)


async def _with_second_factors(running: Running) -> Owned:
    """Somebody with a passkey, and an authenticator app that waits for its first code."""
    owner = await somebody(Identity(running), f"{person().subject}@example.com")
    await owner.add_passkey()
    await owner.ask("BeginTotp", proof=BY_PASSWORD)
    (passkey,) = await owner.passkeys()
    return Owned(owner.caller, passkey.id)


# Those that are not made by their own Create or BatchUpsert.
MAKERS: dict[str, Maker] = {
    "users": _registered,
    "sessions": _logged_in,
    "preferences": _registered,
    "health-profile": _registered,
    "identities": _linked,
    "email": _registered,
    "onboarding": _onboarding,
    "reset-onboarding": _to_reset,
    "account": _family,
    "subscription": _registered,
    "account-members": _family,
    "account-invitations": _invited,
    "second-factors": _with_second_factors,
    "passkeys": _with_second_factors,
    "grants": _sharing,
    "received-grants": _shared_with,
    "consents": _consented,
    "deletions": _leaving,
    "mental-wellness": _leaving,
    "days": _as("wearable-daily"),
    "report-rows": _as("doctor-visits"),
    "blood-markers": _measured,
    "biomarkers": _measured,
    "": _anything,
    "documents": _documented,
    "document-values": _read,
    "audit-trail": _registered,
    "profile": _coached,
    "coaching-context": _coached,
}


def everything_about(database: ServiceDatabase, subject: str) -> list[str]:
    """Every row of every table that mentions a person, as its owner sees it, which is everything."""
    found = []
    with psycopg.connect(database.migrator_url) as owner:
        tables = owner.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY relname"
        ).fetchall()
        for (table,) in tables:
            statement = sql.SQL("SELECT to_jsonb(t) FROM {} AS t WHERE to_jsonb(t)::text LIKE %s")
            rows = owner.execute(statement.format(sql.Identifier(table)), [f"%{subject}%"])
            found += [f"{table} {json.dumps(row, sort_keys=True)}" for (row,) in rows]
    return sorted(found)
