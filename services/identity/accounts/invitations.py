"""Invitations into an account: making them, mailing them, taking them back.

The token is made by the job that mails it and stored as its hash, so that it
stands nowhere but in the mail. An invitation is for an address; whether that
address is anybody's here is not looked up until somebody with it accepts.
"""

import secrets
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity import mail
from services.identity.accounts.tables import IN_FORCE, account_invitations, accounts
from services.identity.tokens import fingerprint
from services.identity.users import LIVING, email_unverified, normalise_email, users
from services.kit.caller import current
from services.kit.database import Database, uuid7
from services.kit.errors import ServiceError, invalid, not_found
from services.kit.jobs import Jobs, Task
from services.kit.resources import Resource
from vitalis.identity.v1 import accounts_pb2 as pb

LIFETIME = timedelta(days=14)
# Mails that one account can have sent to addresses of its owner's choice.
MOST_IN_A_DAY = 20
TOKEN_PREFIX = "vin_"
TOKEN_BYTES = 32

INVITATIONS = Resource(
    pb.AccountInvitation,
    account_invitations,
    what="invitation",
    order_by=("id",),
    filters=("status",),
    hidden=("account_id", "token_sha256"),
)
MEMBERS = sa.func.account_members().table_valued(
    sa.column("user_id", sa.Uuid(as_uuid=False)),
    sa.column("display_name", sa.Text),
    sa.column("username", sa.Text),
    sa.column("is_owner", sa.Boolean),
)
# Not named as the column, which SQLAlchemy keeps for the values of an UPDATE.
MINE = account_invitations.c.user_id == sa.bindparam("inviter", type_=sa.Uuid(as_uuid=False))
OPEN = account_invitations.c.status == "open"


async def own_account(connection: AsyncConnection, user_id: str, what: str) -> Any:
    """The row of the account that the person owns, locked: whatever changes who is in it waits.

    Raises NOT_FOUND for no living person, and NOT_ACCOUNT_OWNER.
    """
    person = (await connection.execute(sa.select(users.c.account_id).where(*LIVING), {"user_id": user_id})).first()
    if person is None:
        raise not_found("account")
    # Row security lets the owner alone lock it.
    lock = sa.select(accounts).where(accounts.c.id == person.account_id).with_for_update(key_share=True)
    account = (await connection.execute(lock)).one_or_none()
    if account is None:
        raise ServiceError("NOT_ACCOUNT_OWNER", f"only the account's owner can {what}")
    return account


async def create(connection: AsyncConnection, user_id: str, email: str) -> pb.AccountInvitation:
    """A new invitation into the person's account. Raises what `CreateAccountInvitation` documents."""
    email, mine = normalise_email(email), {"inviter": user_id}
    account = await own_account(connection, user_id, "invite")
    own = sa.select(users.c.email, users.c.email_verified_at).where(*LIVING)
    inviter = (await connection.execute(own, {"user_id": user_id})).one()
    if inviter.email_verified_at is None:
        raise email_unverified()
    if inviter.email == email:
        raise invalid("email", "is your own")
    now = sa.func.now()
    in_force = sa.or_(accounts.c.subscription_expires_at.is_(None), accounts.c.subscription_expires_at > now)
    runs = (await connection.execute(sa.select(in_force).where(accounts.c.id == account.id))).scalar_one()
    if account.subscription_tier != "family" or account.subscription_status not in IN_FORCE or not runs:
        raise ServiceError("FAMILY_TIER_NEEDED", "inviting needs a subscription of the tier family that is in force")
    await connection.execute(
        sa.update(account_invitations)
        .where(MINE, OPEN, account_invitations.c.expires_at <= now)
        .values(status="expired", ended_at=account_invitations.c.expires_at, updated_at=now),
        mine,
    )
    open_ones = sa.select(sa.func.count()).select_from(account_invitations).where(MINE, OPEN).scalar_subquery()
    a_day = sa.func.count().filter(account_invitations.c.created_at > now - timedelta(days=1))
    sent = sa.select(a_day).select_from(account_invitations).where(MINE).scalar_subquery()
    members = sa.select(sa.func.count()).select_from(MEMBERS).scalar_subquery()
    same = sa.select(account_invitations.c.id).where(
        MINE, OPEN, account_invitations.c.account_id == account.id, account_invitations.c.email == email
    )
    counts = sa.select((members + open_ones).label("taken"), sent.label("sent"), sa.exists(same).label("known"))
    row = (await connection.execute(counts, mine)).one()
    if row.known:
        raise ServiceError("ALREADY_EXISTS", "an invitation to this address is open")
    if row.taken >= account.max_users:
        raise ServiceError("ACCOUNT_FULL", "the account has no place left; open invitations hold theirs")
    if row.sent >= MOST_IN_A_DAY:
        raise ServiceError(
            "TOO_MANY_INVITATIONS", "too many invitations in a day; try again tomorrow", retry_after_seconds=86400
        )
    values = {"account_id": account.id, "email": email, "expires_at": sa.func.now() + LIFETIME}
    stored = (
        insert(account_invitations)
        .values(id=uuid7(), user_id=sa.literal(user_id, sa.Uuid(as_uuid=False)), **values)
        .returning(*INVITATIONS.rows.columns(INVITATIONS.rows.names))
    )
    made: pb.AccountInvitation = INVITATIONS.rows.read((await connection.execute(stored)).one())
    return made


async def revoke_open(connection: AsyncConnection, user_id: str) -> None:
    """Takes back every open invitation of the person's."""
    await connection.execute(
        sa.update(account_invitations)
        .where(MINE, OPEN)
        .values(status="revoked", ended_at=sa.func.now(), updated_at=sa.func.now()),
        {"inviter": user_id},
    )


def declare_mail_job(jobs: Jobs, database: Database, mailer: mail.Mailer, public_url: str) -> Task:
    """The job that mails an invitation, with its `user_id` and `invitation_id`."""

    @jobs.job("mail_account_invitation", attempts=mail.ATTEMPTS)
    async def mail_account_invitation(user_id: str, invitation_id: str, request_id: str) -> None:
        # A repeat mails another token, and only the last one counts.
        token = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
        async with database.transaction() as connection:
            update = (
                sa.update(account_invitations)
                .where(account_invitations.c.id == sa.bindparam("invitation_id", type_=sa.Uuid(as_uuid=False)))
                .where(OPEN, account_invitations.c.expires_at > sa.func.now())
                .values(token_sha256=fingerprint(token))
                .returning(account_invitations.c.email)
            )
            invited = (await connection.execute(update, {"invitation_id": invitation_id})).scalar_one_or_none()
            # Nobody who was suspended since has mail sent in their name.
            inviter = sa.select(users.c.email).where(*LIVING, users.c.account_status == "active")
            sender = (await connection.execute(inviter, {"user_id": current().subject})).scalar_one_or_none()
        if invited and sender:
            await mailer.send(invited, SUBJECT, body(sender, token, public_url))

    return mail_account_invitation


SUBJECT = "An invitation to a household"


def body(sender: str, token: str, public_url: str) -> str:
    """The mail's text. Of what the inviter chose only their address is in it, which they have verified."""
    return f"""\
{sender} invites you to join their household at {public_url}.

It means that one account pays for both of you. Nobody in a household sees
anybody else's data; that always needs a permission of its own.

To join, log in with this address (sign up with it if you are new) and run

    vitalis household join {token}

or decline with `vitalis household decline` and the same token. The invitation
ends after {LIFETIME.days} days. If you do not know who this is, do nothing.
"""
