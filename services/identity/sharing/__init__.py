"""Sharing: grants as their owners make and end them, and as their grantees take and leave them.

A grant is a row of its owner's. What a grantee does to it happens in a
transaction about its owner, whose actor they are, after the grant has been
found as theirs; so row security and the audit log see whose row it is and who
changed it. Whether a grant still holds, the database's clock says.
"""

from dataclasses import replace
from typing import Any
from uuid import UUID

import grpc
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.base import IDEMPOTENCY_KEYS
from services.identity.sharing import received
from services.identity.sharing.invitations import Invitations, fingerprint
from services.identity.sharing.tables import (
    ACTIVE,
    COLUMNS,
    DECLINED,
    EXPIRED,
    FIND_GRANT,
    GRANTS,
    LIVING,
    MINE,
    PENDING,
    REVOKED,
    STANDING,
    grants,
)
from services.identity.sharing.terms import TERMS, TERMS_VERSION
from services.identity.users import LIVING as LIVING_PERSON
from services.identity.users import email_unverified, normalise_email, users
from services.kit import audit
from services.kit.caller import Caller, current
from services.kit.database import Database, Statement, changed_at, uuid7
from services.kit.errors import ServiceError, etag_mismatch, invalid, not_found
from services.kit.idempotency import once
from services.kit.paging import decode_token, encode_token, page_size, read_position
from vitalis.identity.v1 import sharing_pb2 as pb
from vitalis.identity.v1 import sharing_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]
WHAT = "grant"
# Each is a mail to somebody who may not have asked for one.
MOST_A_DAY = 20
INVITATION_LASTS = sa.text("interval '14 days'")
GET = Statement(sa.select(*COLUMNS).where(*MINE))
NEWEST = (
    sa.select(*COLUMNS).where(MINE[0]).order_by(grants.c.id.desc()).limit(sa.bindparam("page_limit", type_=sa.Integer))
)
FIRST_PAGE = Statement(NEWEST)
NEXT_PAGE = Statement(NEWEST.where(grants.c.id < sa.bindparam("after", type_=sa.Uuid(as_uuid=False))))
# Whoever accepts is the one to whom the token was sent, and may still act.
FIND_GRANTEE = Statement(
    sa.select(users.c.email, users.c.role).where(
        *LIVING_PERSON, users.c.email_verified_at.is_not(None), users.c.account_status == "active"
    )
)


class GrantsServicer(sharing_pb2_grpc.GrantsServiceServicer):
    def __init__(self, database: Database, invitations: Invitations) -> None:
        self._database = database
        self._invitations = invitations

    async def GetSharingTerms(self, request: pb.GetSharingTermsRequest, context: Context) -> pb.GetSharingTermsResponse:
        """What a person agrees to when they share."""
        return pb.GetSharingTermsResponse(version=TERMS_VERSION, text=TERMS)

    async def CreateGrant(self, request: pb.CreateGrantRequest, context: Context) -> pb.CreateGrantResponse:
        """A pending grant, and a job that mails its token. The same whether or not anybody has the address.

        Raises GRANT_EXISTS, GRANT_LIMIT, SHARING_TERMS_OUTDATED, EMAIL_UNVERIFIED,
        NOT_FOUND for an owner who is gone.
        """
        if request.grant.consent_version != TERMS_VERSION:
            raise ServiceError(
                "SHARING_TERMS_OUTDATED", "consent_version: is not the current one; read the terms again"
            )
        values = GRANTS.values(request.grant)
        values["grantee_email"] = normalise_email(request.grant.grantee_email)

        async with self._database.transaction() as connection:

            async def work() -> pb.CreateGrantResponse:
                return pb.CreateGrantResponse(grant=await self._offer(connection, values))

            return await once(connection, IDEMPOTENCY_KEYS, request, pb.CreateGrantResponse, work)

    async def GetGrant(self, request: pb.GetGrantRequest, context: Context) -> pb.GetGrantResponse:
        """One of the person's own grants. Raises NOT_FOUND."""
        rows = await self._database.fetch(GET, {"owner": request.user_id, "grant": request.id})
        if not rows:
            raise not_found(WHAT)
        return pb.GetGrantResponse(grant=GRANTS.read(rows[0]))

    async def ListGrants(self, request: pb.ListGrantsRequest, context: Context) -> pb.ListGrantsResponse:
        """A page of the person's own grants, the newest first. Raises INVALID_PAGE_TOKEN."""
        rows, token = await self._page(request, FIRST_PAGE, NEXT_PAGE, {"owner": request.user_id})
        return pb.ListGrantsResponse(grants=[GRANTS.read(row) for row in rows], next_page_token=token)

    async def UpdateGrant(self, request: pb.UpdateGrantRequest, context: Context) -> pb.UpdateGrantResponse:
        """The grant with fewer scopes or another end. Raises NOT_FOUND, ETAG_MISMATCH, GRANT_ENDED."""
        sent = request.grant
        async with self._database.transaction() as connection:
            stored = await _lock(connection, request.user_id, request.id)
            if sent.etag and sent.etag != stored.etag:
                raise etag_mismatch(WHAT, stored.etag)
            if stored.status not in LIVING:
                raise ServiceError("GRANT_ENDED", "the grant has ended")
            values = GRANTS.changes(sent, stored, list(request.update_mask.paths))
            if not set(values.get("scopes", ())) <= set(stored.scopes):
                raise invalid("grant.scopes", "can become fewer; more is a new grant")
            grant = await _change(connection, stored, values) if values else stored
        return pb.UpdateGrantResponse(grant=grant)

    async def RevokeGrant(self, request: pb.RevokeGrantRequest, context: Context) -> pb.RevokeGrantResponse:
        """The grant, which gives nothing any more. Raises NOT_FOUND."""
        async with self._database.transaction() as connection:
            grant = await _lock(connection, request.user_id, request.id)
            if grant.status in LIVING:
                grant = await _end(connection, grant, REVOKED)
        return pb.RevokeGrantResponse(grant=grant)

    async def AcceptGrant(self, request: pb.AcceptGrantRequest, context: Context) -> pb.AcceptGrantResponse:
        """What the person has been given. Raises GRANT_TOKEN_INVALID, GRANT_EXISTS, COACH_ROLE_NEEDED."""
        owner, role = await self._find_offer(request.user_id, request.token)
        async with self._database.transaction(owner) as connection:
            grant = await _lock_offer(connection, owner.subject, request.token)
            if grant.relation == "coach" and role not in ("coach", "admin"):
                raise ServiceError("COACH_ROLE_NEEDED", "only an account with the role coach can accept this")
            await _retire_overdue(connection, owner.subject, grants.c.grantee_id == UUID(request.user_id))
            between_the_two = (grants.c.user_id == UUID(owner.subject), grants.c.grantee_id == UUID(request.user_id))
            living = sa.select(grants.c.id).where(*between_the_two, grants.c.status == ACTIVE)
            if (await connection.execute(living)).first():
                raise ServiceError("GRANT_EXISTS", "this person shares with you already; leave that grant first")
            values = {"status": ACTIVE, "grantee_id": UUID(request.user_id), "accepted_at": sa.func.now()}
            await _change(connection, grant, {**values, "token_sha256": None})
            await audit.record(connection, "GRANT_ACCEPTED", table=grants.name, record_id=grant.id)
        found = await self._database.fetch(received.ONE, {"grantee": request.user_id, "grant": grant.id})
        return pb.AcceptGrantResponse(grant=received.read(found[0]))

    async def DeclineGrant(self, request: pb.DeclineGrantRequest, context: Context) -> pb.DeclineGrantResponse:
        """Turns an offer down. Raises GRANT_TOKEN_INVALID."""
        owner, _ = await self._find_offer(request.user_id, request.token)
        async with self._database.transaction(owner) as connection:
            await _end(connection, await _lock_offer(connection, owner.subject, request.token), DECLINED)
        return pb.DeclineGrantResponse()

    async def ListReceivedGrants(
        self, request: pb.ListReceivedGrantsRequest, context: Context
    ) -> pb.ListReceivedGrantsResponse:
        """A page of what others have given the person, the newest first. Raises INVALID_PAGE_TOKEN."""
        pages = received.FIRST_PAGE, received.NEXT_PAGE
        rows, token = await self._page(request, *pages, {"grantee": request.user_id})
        return pb.ListReceivedGrantsResponse(
            received_grants=[received.read(row) for row in rows], next_page_token=token
        )

    async def LeaveGrant(self, request: pb.LeaveGrantRequest, context: Context) -> pb.LeaveGrantResponse:
        """Gives up what somebody gave. Raises NOT_FOUND."""
        rows = await self._database.fetch(received.ONE, {"grantee": request.user_id, "grant": request.id})
        if not rows:
            raise not_found(WHAT)
        owner_id = received.read(rows[0]).owner_id
        async with self._database.transaction(_about(owner_id)) as connection:
            grant = await _lock(connection, owner_id, request.id)
            if grant.status == ACTIVE:
                await _end(connection, grant, DECLINED)
        return pb.LeaveGrantResponse()

    async def _offer(self, connection: AsyncConnection, values: dict[str, Any]) -> pb.Grant:
        caller = current()
        # The lock makes one line of what an owner offers, so that the count below holds.
        owner = sa.select(users.c.email, users.c.email_verified_at).where(*LIVING_PERSON)
        found = await connection.execute(owner.with_for_update(key_share=True), {"user_id": caller.subject})
        person = found.one_or_none()
        if person is None:
            raise not_found("user")
        if person.email_verified_at is None:
            raise email_unverified()
        if person.email == values["grantee_email"]:
            raise invalid("grant.grantee_email", "is your own")
        today = sa.select(sa.func.count()).where(
            grants.c.user_id == UUID(caller.subject), grants.c.created_at > sa.func.now() - sa.text("interval '1 day'")
        )
        if (await connection.execute(today)).scalar_one() >= MOST_A_DAY:
            raise ServiceError(
                "GRANT_LIMIT", f"{MOST_A_DAY} grants within a day are the most", retry_after_seconds=3600
            )
        await _retire_overdue(connection, caller.subject, grants.c.grantee_email == values["grantee_email"])
        insert = (
            postgresql.insert(grants)
            .values(
                id=uuid7(),
                user_id=UUID(caller.subject),
                consent_address=caller.address,
                invitation_expires_at=sa.func.now() + INVITATION_LASTS,
                **values,
            )
            .on_conflict_do_nothing()
            .returning(*COLUMNS)
        )
        row = (await connection.execute(insert)).one_or_none()
        if row is None:
            raise ServiceError("GRANT_EXISTS", "you share with this address already; change or revoke that grant")
        grant: pb.Grant = GRANTS.read(row)
        await audit.record(connection, "GRANT", {"scopes": list(grant.scopes)}, table=grants.name, record_id=grant.id)
        await self._invitations.defer(connection, grant)
        return grant

    async def _find_offer(self, grantee_id: str, token: str) -> tuple[Caller, str]:
        """Who acts about whom where an offer is taken or turned down, and the grantee's role.

        Raises GRANT_TOKEN_INVALID, also where the token was sent to another address.
        """
        found = await self._database.fetch(FIND_GRANT, {"token_sha256": fingerprint(token)})
        person = await self._database.fetch(FIND_GRANTEE, {"user_id": grantee_id})
        if not found or not person or found[0][0] == UUID(grantee_id):
            raise token_invalid()
        owner_id, sent_to = str(found[0][0]), found[0][1]
        email, role = person[0]
        if email != sent_to:
            raise token_invalid()
        return _about(owner_id), role

    async def _page(
        self, request: Any, first: Statement, following: Statement, parameters: dict[str, Any]
    ) -> tuple[list[Any], str]:
        size, bound_to = page_size(request.page_size), request.DESCRIPTOR.full_name
        parameters = {**parameters, "page_limit": size + 1}
        if request.page_token:
            (after,) = decode_token(request.page_token, 1, bound_to)
            parameters["after"] = read_position(UUID, after)
        rows = await self._database.fetch(following if request.page_token else first, parameters)
        token = encode_token([str(rows[size - 1][0])], bound_to) if len(rows) > size else ""
        return rows[:size], token


def _about(owner_id: str) -> Caller:
    """The current person, who acts on a row of the owner's."""
    return replace(current(), subject=owner_id)


async def _lock(connection: AsyncConnection, owner_id: str, grant_id: str) -> pb.Grant:
    """The grant as it stands, locked until the transaction ends. Raises NOT_FOUND."""
    statement = sa.select(*COLUMNS).where(*MINE).with_for_update()
    row = (await connection.execute(statement, {"owner": owner_id, "grant": grant_id})).one_or_none()
    if row is None:
        raise not_found(WHAT)
    grant: pb.Grant = GRANTS.read(row)
    return grant


async def _lock_offer(connection: AsyncConnection, owner_id: str, token: str) -> pb.Grant:
    """The pending grant of a token, locked, and its owner, who may still act. Raises GRANT_TOKEN_INVALID."""
    owner = sa.select(users.c.id).where(*LIVING_PERSON, users.c.account_status == "active")
    living = (await connection.execute(owner.with_for_update(key_share=True), {"user_id": owner_id})).one_or_none()
    of_token = sa.and_(grants.c.user_id == UUID(owner_id), grants.c.token_sha256 == fingerprint(token))
    row = (await connection.execute(sa.select(*COLUMNS).where(of_token).with_for_update())).one_or_none()
    if living is None or row is None:
        raise token_invalid()
    grant: pb.Grant = GRANTS.read(row)
    if grant.status != PENDING:
        raise token_invalid()
    return grant


async def _change(connection: AsyncConnection, grant: pb.Grant, values: dict[str, Any]) -> pb.Grant:
    """Changes a grant that is locked; as stored."""
    statement = sa.update(grants).where(*MINE).values(**values, updated_at=changed_at(grants)).returning(*COLUMNS)
    row = (await connection.execute(statement, {"owner": grant.user_id, "grant": grant.id})).one()
    changed: pb.Grant = GRANTS.read(row)
    return changed


async def _end(connection: AsyncConnection, grant: pb.Grant, status: str) -> pb.Grant:
    """Ends a grant that is locked and lives."""
    ended = await _change(connection, grant, {"status": status, "ended_at": sa.func.now(), "token_sha256": None})
    await audit.record(connection, f"GRANT_{status.upper()}", table=grants.name, record_id=grant.id)
    return ended


async def _retire_overdue(connection: AsyncConnection, owner_id: str, which: sa.ColumnElement[bool]) -> None:
    """Marks what has run out, so that it does not stand in the way of a new grant."""
    overdue = (grants.c.user_id == UUID(owner_id), which, grants.c.status.in_(LIVING), STANDING == EXPIRED)
    ended = {"status": EXPIRED, "ended_at": sa.func.now(), "token_sha256": None, "updated_at": changed_at(grants)}
    await connection.execute(sa.update(grants).where(*overdue).values(ended))


def token_invalid() -> ServiceError:
    return ServiceError("GRANT_TOKEN_INVALID", "the invitation is not valid; ask for another one")
