"""What administrators do: find people, suspend and restore them, end sessions, give roles, keep subscriptions.

An administrator acts on one person's rows at a time, as the transaction's
subject, so row security holds for them as for everybody; the list alone is a
function, with the columns of an account's management and nothing else.
"""

from typing import Any
from uuid import UUID

import grpc
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.accounts.invitations import MEMBERS, own_account, revoke_open
from services.identity.accounts.tables import PEOPLE_PER_FAMILY, accounts
from services.identity.sessions.store import FORCED, SUSPENDED, end_sessions
from services.identity.users import normalise_email, timestamp, users
from services.kit import audit
from services.kit.caller import current
from services.kit.database import Database, changed_at
from services.kit.errors import ServiceError, not_found
from services.kit.paging import decode_token, encode_token, page_size, read_position
from services.kit.rows import RowMapping
from vitalis.identity.v1 import admin_pb2 as pb
from vitalis.identity.v1 import admin_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]
ADMIN, ACTIVE = "admin", "active"
# One at a time changes who is an administrator, so that the last two do not remove each other.
ALONE = sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext("administrators")))
ACTING_ADMIN = sa.select(sa.func.acting_admin())
# In the order in which `list_people` answers.
COLUMNS = (
    users.c.id,
    users.c.email,
    users.c.email_verified_at,
    users.c.display_name,
    users.c.username,
    users.c.role,
    users.c.account_status,
    users.c.suspended_at,
    users.c.suspended_reason,
    users.c.last_login_at,
    users.c.created_at,
    users.c.deleted_at,
    users.c.account_id,
    (accounts.c.owner_id == users.c.id).label("is_account_owner"),
    accounts.c.subscription_tier,
    accounts.c.subscription_status,
    accounts.c.subscription_expires_at,
    accounts.c.stripe_customer_id,
    accounts.c.max_users,
)
SUBJECT = users.c.id == sa.bindparam("subject", type_=sa.Uuid(as_uuid=False))
PERSON = sa.select(*COLUMNS).select_from(users.join(accounts, accounts.c.id == users.c.account_id)).where(SUBJECT)
LIST = sa.select(
    sa.func.list_people(
        sa.bindparam("account_status", type_=sa.Text),
        sa.bindparam("role", type_=sa.Text),
        sa.bindparam("email_prefix", type_=sa.Text),
        sa.bindparam("before", type_=sa.Uuid(as_uuid=False)),
        sa.bindparam("most", type_=sa.Integer),
    ).table_valued(*(sa.column(column.name, column.type) for column in COLUMNS))
)
FILTERS = ("account_status", "role", "email_prefix")
SUBSCRIPTION = RowMapping(
    pb.Subscription, accounts, hidden=("id", "owner_id", "created_at", "updated_at", "deleted_at")
)
SUBSCRIPTION_COLUMNS = SUBSCRIPTION.columns(SUBSCRIPTION.names)


class AdminServicer(admin_pb2_grpc.AdminServiceServicer):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def ListPeople(self, request: pb.ListPeopleRequest, context: Context) -> pb.ListPeopleResponse:
        """A page of people, the newest first. Raises INVALID_PAGE_TOKEN."""
        size = page_size(request.page_size)
        asked = {name: getattr(request, name) for name in FILTERS}
        bound_to = (request.DESCRIPTOR.full_name, *asked.values())
        before = None
        if request.page_token:
            (last,) = decode_token(request.page_token, 1, *bound_to)
            before = str(read_position(UUID, last))
        asked["email_prefix"] = normalise_email(request.email_prefix)
        async with self._database.transaction() as connection:
            await refuse_others(connection)
            rows = (await connection.execute(LIST, {**asked, "before": before, "most": size + 1})).all()
        token = encode_token([str(rows[size - 1].id)], *bound_to) if len(rows) > size else ""
        return pb.ListPeopleResponse(people=[_person(row) for row in rows[:size]], next_page_token=token)

    async def GetPerson(self, request: pb.GetPersonRequest, context: Context) -> pb.GetPersonResponse:
        """One person, also a deleted one. Raises NOT_FOUND."""
        async with self._database.transaction() as connection:
            await refuse_others(connection)
            return pb.GetPersonResponse(person=await _read(connection, request.user_id))

    async def SuspendPerson(self, request: pb.SuspendPersonRequest, context: Context) -> pb.SuspendPersonResponse:
        """The person, suspended and logged out. Raises NOT_FOUND, NOT_ON_YOURSELF."""
        async with self._database.transaction() as connection:
            await connection.execute(ALONE)
            # Whoever suspends is an administrator when it is done, so one is left.
            await refuse_others(connection)
            person = await _lock(connection, request.user_id)
            if current().actor == request.user_id:
                raise ServiceError("NOT_ON_YOURSELF", "another administrator has to suspend you")
            if person.account_status == ACTIVE:
                values = {
                    "account_status": SUSPENDED,
                    "suspended_at": sa.func.now(),
                    "suspended_reason": request.reason,
                }
                await _change(connection, request.user_id, values)
                await end_sessions(connection, UUID(request.user_id), SUSPENDED)
                await audit.record(connection, "SUSPEND", table="users", record_id=request.user_id)
            return pb.SuspendPersonResponse(person=await _read(connection, request.user_id))

    async def RestorePerson(self, request: pb.RestorePersonRequest, context: Context) -> pb.RestorePersonResponse:
        """The person, who can log in again. Raises NOT_FOUND."""
        async with self._database.transaction() as connection:
            await refuse_others(connection)
            person = await _lock(connection, request.user_id)
            if person.account_status == SUSPENDED:
                values = {"account_status": ACTIVE, "suspended_at": None, "suspended_reason": None}
                await _change(connection, request.user_id, values)
                await audit.record(connection, "RESTORE", table="users", record_id=request.user_id)
            return pb.RestorePersonResponse(person=await _read(connection, request.user_id))

    async def EndPersonSessions(
        self, request: pb.EndPersonSessionsRequest, context: Context
    ) -> pb.EndPersonSessionsResponse:
        """Logs the person out everywhere. Raises NOT_FOUND."""
        async with self._database.transaction() as connection:
            await refuse_others(connection)
            await _lock(connection, request.user_id)
            ended = await end_sessions(connection, UUID(request.user_id), FORCED)
            await audit.record(connection, "FORCED_LOGOUT", {"sessions": ended})
        return pb.EndPersonSessionsResponse()

    async def SetPersonRole(self, request: pb.SetPersonRoleRequest, context: Context) -> pb.SetPersonRoleResponse:
        """The person with the role. Raises NOT_FOUND, LAST_ADMIN."""
        async with self._database.transaction() as connection:
            await connection.execute(ALONE)
            await refuse_others(connection)
            person = await _lock(connection, request.user_id)
            if person.role != request.role:
                others = sa.select(sa.func.other_admins(sa.literal(request.user_id, sa.Uuid(as_uuid=False))))
                if person.role == ADMIN and not (await connection.execute(others)).scalar_one():
                    raise ServiceError("LAST_ADMIN", "make somebody else an administrator first")
                await _change(connection, request.user_id, {"role": request.role})
                # The role is in their access tokens.
                await end_sessions(connection, UUID(request.user_id), FORCED)
                await audit.record(connection, "ROLE", {"role": request.role})
            return pb.SetPersonRoleResponse(person=await _read(connection, request.user_id))

    async def UpdateSubscription(
        self, request: pb.UpdateSubscriptionRequest, context: Context
    ) -> pb.UpdateSubscriptionResponse:
        """The subscription as changed. Raises NOT_FOUND, NOT_ACCOUNT_OWNER, ACCOUNT_HAS_MEMBERS, ALREADY_EXISTS."""
        async with self._database.transaction() as connection:
            await refuse_others(connection)
            account = await own_account(connection, request.user_id, "have a subscription")
            own = accounts.c.id == account.id
            row = (await connection.execute(sa.select(*SUBSCRIPTION_COLUMNS).where(own))).one()
            subscription = SUBSCRIPTION.read(row)
            values = SUBSCRIPTION.changes(request.subscription, subscription, list(request.update_mask.paths))
            if tier := values.get("subscription_tier"):
                values["max_users"] = PEOPLE_PER_FAMILY if tier == "family" else 1
                members = (await connection.execute(sa.select(sa.func.count()).select_from(MEMBERS))).scalar_one()
                if members > values["max_users"]:
                    raise ServiceError(
                        "ACCOUNT_HAS_MEMBERS", f"the account has {members} members; the tier {tier} has room for one"
                    )
                if values["max_users"] == 1:
                    await revoke_open(connection, request.user_id)
            if values:
                update = sa.update(accounts).where(own).values(**values, updated_at=sa.func.now())
                row = (await connection.execute(update.returning(*SUBSCRIPTION_COLUMNS))).one()
                subscription = SUBSCRIPTION.read(row)
        return pb.UpdateSubscriptionResponse(subscription=subscription)


async def refuse_others(connection: AsyncConnection) -> None:
    """Raises SCOPE_MISSING unless the actor is an administrator now, whatever their token says."""
    if not (await connection.execute(ACTING_ADMIN)).scalar_one():
        raise ServiceError("SCOPE_MISSING", "this RPC is for admins only")


async def _lock(connection: AsyncConnection, user_id: str) -> Any:
    """The role and state of a living person, locked. Raises NOT_FOUND."""
    query = sa.select(users.c.role, users.c.account_status).where(SUBJECT, users.c.deleted_at.is_(None))
    person = (await connection.execute(query.with_for_update(), {"subject": user_id})).one_or_none()
    if person is None:
        raise not_found("person")
    return person


async def _change(connection: AsyncConnection, user_id: str, values: dict[str, Any]) -> None:
    statement = sa.update(users).where(SUBJECT).values(**values, updated_at=changed_at(users))
    await connection.execute(statement, {"subject": user_id})


async def _read(connection: AsyncConnection, user_id: str) -> pb.Person:
    row = (await connection.execute(PERSON, {"subject": user_id})).one_or_none()
    if row is None:
        raise not_found("person")
    return _person(row)


def _person(row: Any) -> pb.Person:
    def moment(name: str) -> Any:
        value = getattr(row, name)
        return timestamp(value) if value else None

    return pb.Person(
        id=str(row.id),
        email=row.email,
        email_verified_at=moment("email_verified_at"),
        display_name=row.display_name,
        username=row.username,
        role=row.role,
        account_status=row.account_status,
        suspended_at=moment("suspended_at"),
        suspended_reason=row.suspended_reason,
        last_login_at=moment("last_login_at"),
        created_at=moment("created_at"),
        deleted_at=moment("deleted_at"),
        account_id=str(row.account_id),
        is_account_owner=row.is_account_owner,
        subscription=pb.Subscription(
            subscription_tier=row.subscription_tier,
            subscription_status=row.subscription_status,
            subscription_expires_at=moment("subscription_expires_at"),
            stripe_customer_id=row.stripe_customer_id,
            max_users=row.max_users,
        ),
    )
