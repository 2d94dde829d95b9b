"""Accounts and households: who belongs to one, joining and leaving.

What changes who is in an account takes the lock of the account's row, so that
of two who want the last place one gets it. What must see more than the
caller's own rows is a function of the migrations that answers with a reason.
"""

from typing import Any

import grpc
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.accounts import invitations
from services.identity.accounts.invitations import INVITATIONS, MEMBERS
from services.identity.accounts.tables import account_invitations, accounts
from services.identity.tokens import fingerprint
from services.identity.users import timestamp
from services.kit.caller import current
from services.kit.database import Database, Statement, uuid7
from services.kit.errors import ServiceError, not_found
from services.kit.jobs import Jobs, Task
from services.kit.resources import list_
from vitalis.identity.v1 import accounts_pb2 as pb
from vitalis.identity.v1 import accounts_pb2_grpc as pb_grpc

__all__ = ["AccountsServicer", "account_invitations", "accounts"]

Context = grpc.aio.ServicerContext[Any, Any]
# Row security shows everybody the one account that they are in.
ACCOUNT = sa.select(
    accounts.c.id,
    accounts.c.owner_id,
    accounts.c.subscription_tier,
    accounts.c.subscription_status,
    accounts.c.subscription_expires_at,
    accounts.c.max_users,
    accounts.c.created_at,
    MEMBERS.c.user_id,
    MEMBERS.c.display_name,
    MEMBERS.c.username,
    MEMBERS.c.is_owner,
).select_from(accounts.join(MEMBERS, sa.true()))
FIND = Statement(ACCOUNT)
REFUSALS = {
    "NOT_FOUND": "there is no such member",
    "NOT_ACCOUNT_OWNER": "only the account's owner can remove members",
    "OWNER_CANNOT_LEAVE": "the owner cannot leave; make another member the owner first",
    "INVITATION_INVALID": "the token is not one of an open invitation to your verified address",
    "ACCOUNT_FULL": "the account has no place left",
    "ACCOUNT_HAS_MEMBERS": "you own an account with other members; hand it over or remove them first",
}


class AccountsServicer(pb_grpc.AccountsServiceServicer):
    def __init__(self, database: Database, jobs: Jobs, mail_job: Task) -> None:
        self.database = database
        self._jobs = jobs
        self._mail_job = mail_job

    ListAccountInvitations = list_(INVITATIONS)

    async def GetAccount(self, request: pb.GetAccountRequest, context: Context) -> pb.GetAccountResponse:
        """The account that the person is in. Raises NOT_FOUND once they are deleted."""
        return pb.GetAccountResponse(account=_account(await self.database.fetch(FIND, {})))

    async def CreateAccountInvitation(
        self, request: pb.CreateAccountInvitationRequest, context: Context
    ) -> pb.CreateAccountInvitationResponse:
        """An invitation, which a job mails."""
        async with self.database.transaction() as connection:
            invitation = await invitations.create(connection, request.user_id, request.account_invitation.email)
            await self._jobs.defer(
                connection,
                self._mail_job,
                lock=f"account_invitations:{invitation.id}",
                user_id=request.user_id,
                invitation_id=invitation.id,
                request_id=current().request_id,
            )
        return pb.CreateAccountInvitationResponse(account_invitation=invitation)

    async def RevokeAccountInvitation(
        self, request: pb.RevokeAccountInvitationRequest, context: Context
    ) -> pb.RevokeAccountInvitationResponse:
        """The invitation, ended. Raises NOT_FOUND."""
        async with self.database.transaction() as connection:
            invitation = await INVITATIONS.lock(connection, request.id, "")
            if invitation.status == "open":
                values = {"status": "revoked", "ended_at": sa.func.now()}
                invitation = await INVITATIONS.change(connection, request.id, values)
        return pb.RevokeAccountInvitationResponse(account_invitation=invitation)

    async def JoinAccount(self, request: pb.JoinAccountRequest, context: Context) -> pb.JoinAccountResponse:
        """The account that the person is in now. Raises INVITATION_INVALID, ACCOUNT_FULL, ACCOUNT_HAS_MEMBERS."""
        async with self.database.transaction() as connection:
            await _ask(connection, sa.func.join_account(fingerprint(request.token)))
            return pb.JoinAccountResponse(account=await _read(connection))

    async def DeclineAccountInvitation(
        self, request: pb.DeclineAccountInvitationRequest, context: Context
    ) -> pb.DeclineAccountInvitationResponse:
        """Ends an invitation to the person's address. Raises INVITATION_INVALID."""
        async with self.database.transaction() as connection:
            await _ask(connection, sa.func.decline_account_invitation(fingerprint(request.token)))
        return pb.DeclineAccountInvitationResponse()

    async def LeaveAccount(self, request: pb.LeaveAccountRequest, context: Context) -> pb.LeaveAccountResponse:
        """The person's fresh account. Raises NOT_FOUND, OWNER_CANNOT_LEAVE."""
        async with self.database.transaction() as connection:
            await _ask(connection, _leaving(request.user_id))
            return pb.LeaveAccountResponse(account=await _read(connection))

    async def RemoveAccountMember(
        self, request: pb.RemoveAccountMemberRequest, context: Context
    ) -> pb.RemoveAccountMemberResponse:
        """The account without the member. Raises NOT_FOUND, NOT_ACCOUNT_OWNER, OWNER_CANNOT_LEAVE."""
        async with self.database.transaction() as connection:
            # Whoever is no owner cannot get rid of themselves by this name either.
            await invitations.own_account(connection, request.user_id, "remove members")
            await _ask(connection, _leaving(request.id))
            return pb.RemoveAccountMemberResponse(account=await _read(connection))

    async def MakeAccountOwner(
        self, request: pb.MakeAccountOwnerRequest, context: Context
    ) -> pb.MakeAccountOwnerResponse:
        """The account with its new owner. Raises NOT_FOUND, NOT_ACCOUNT_OWNER."""
        async with self.database.transaction() as connection:
            account = await invitations.own_account(connection, request.user_id, "hand it over")
            if request.id not in {member.id for member in (await _read(connection)).members}:
                raise not_found("member")
            if request.id != request.user_id:
                # They are the former owner's, who could not see or revoke them any more for this account.
                await invitations.revoke_open(connection, request.user_id)
                await connection.execute(
                    sa.update(accounts)
                    .where(accounts.c.id == account.id)
                    .values(owner_id=sa.bindparam("owner", type_=sa.Uuid(as_uuid=False)), updated_at=sa.func.now()),
                    {"owner": request.id},
                )
            return pb.MakeAccountOwnerResponse(account=await _read(connection))


def _leaving(member_id: str) -> Any:
    member: sa.ColumnElement[Any] = sa.literal(member_id, sa.Uuid(as_uuid=False))
    return sa.func.leave_account(member, sa.literal(uuid7(), sa.Uuid))


async def _ask(connection: AsyncConnection, question: Any) -> None:
    """Calls a function of the migrations that does something or answers why not."""
    if refusal := (await connection.execute(sa.select(question))).scalar_one():
        raise ServiceError(refusal, REFUSALS[refusal])


async def _read(connection: AsyncConnection) -> pb.Account:
    return _account((await connection.execute(ACCOUNT)).all())


def _account(rows: Any) -> pb.Account:
    """The account of rows of `ACCOUNT`, which are one for each member. Raises NOT_FOUND if there is none."""
    if not rows:
        raise not_found("account")
    account_id, owner_id, tier, status, expires_at, max_users, created_at, *_ = rows[0]
    return pb.Account(
        id=str(account_id),
        is_owner=str(owner_id) == current().subject,
        subscription_tier=tier,
        subscription_status=status,
        subscription_expires_at=timestamp(expires_at) if expires_at else None,
        max_users=max_users,
        members=[
            pb.AccountMember(id=str(member_id or ""), display_name=name, username=username, is_owner=is_owner)
            for *_, member_id, name, username, is_owner in rows
        ],
        created_at=timestamp(created_at),
    )
