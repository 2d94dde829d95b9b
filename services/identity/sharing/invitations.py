"""Invitations: the token that turns an offer into a grant, mailed by a job and stored as its SHA-256."""

import hashlib
import secrets
from datetime import UTC, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity import mail
from services.identity.sharing.tables import PENDING, STANDING, grants
from services.identity.users import REACHABLE, users
from services.kit.caller import current
from services.kit.database import Database
from services.kit.jobs import Jobs
from vitalis.identity.v1 import sharing_pb2 as pb

# A recognisable prefix lets secret scanners find a leaked token.
PREFIX = "vgt_"
TOKEN_BYTES = 32
SUBJECT = "Somebody wants to share health data with you"
BODY = """\
{owner} wants to share health data with you in Vitalis, {relation}:

{scopes}

It lasts {until}. To accept, log in with this address (sign up with it if you are new) and use this token,
which works once, until {invited_until}:

    {token}

With the command line:

    vitalis share accept {token}

If you do not know who this is, ignore this mail or decline: nothing is shared then.
"""
RELATIONS = {"person": "as somebody they know", "coach": "as their coach"}


class Invitations:
    """Queues invitations, and mails them."""

    def __init__(self, jobs: Jobs, database: Database, mailer: mail.Mailer) -> None:
        self._jobs = jobs
        self._database = database
        self._mailer = mailer
        self._job = jobs.job("invite_grantee", attempts=mail.ATTEMPTS)(self.send)
        jobs.scheduled("23 * * * *", "tidy_grants")(self.tidy)

    async def defer(self, connection: AsyncConnection, grant: pb.Grant) -> None:
        """Queues the invitation on the transaction that makes the grant."""
        await self._jobs.defer(
            connection,
            self._job,
            lock=f"grant:{grant.id}",
            user_id=grant.user_id,
            grant_id=grant.id,
            request_id=current().request_id,
        )

    async def send(self, user_id: str, grant_id: str, request_id: str) -> None:
        """Mails a new token; the one of an earlier attempt works no more. Nothing if the offer has ended meanwhile."""
        token = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
        pending = (grants.c.user_id == UUID(user_id), grants.c.id == UUID(grant_id), STANDING == PENDING)
        update = sa.update(grants).where(*pending).values(token_sha256=fingerprint(token)).returning(grants)
        # Nobody who was suspended since has mail sent in their name.
        owner = sa.select(users.c.email).where(
            users.c.id == UUID(user_id), *REACHABLE, users.c.account_status == "active"
        )
        async with self._database.transaction() as connection:
            grant = (await connection.execute(update)).one_or_none()
            email = (await connection.execute(owner)).scalar_one_or_none()
        if grant is None or email is None:
            return
        body = BODY.format(
            owner=email,
            relation=RELATIONS[grant.relation],
            scopes="\n".join(f"  {scope}" for scope in grant.scopes),
            until=f"until {day(grant.expires_at)}" if grant.expires_at else "until they take it back",
            invited_until=day(grant.invitation_expires_at),
            token=token,
        )
        await self._mailer.send(grant.grantee_email, SUBJECT, body)

    async def tidy(self) -> None:
        """Marks what has run out, and forgets the addresses of people who never accepted."""
        async with self._database.transaction() as connection:
            await connection.execute(sa.select(sa.func.tidy_grants()))


def day(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def fingerprint(token: str) -> bytes:
    """What is stored of a token; 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode()).digest()
