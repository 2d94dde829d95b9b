"""Logging in with an account at another provider, and linking such accounts to a person."""

from typing import Any
from uuid import UUID

import grpc
import sqlalchemy as sa

from services.identity.letters import Letters
from services.identity.mail import ATTEMPTS, Mailer
from services.identity.oauth import identities
from services.identity.oauth.addresses import Addresses
from services.identity.oauth.flow import Flow
from services.identity.oauth.flows import Flows
from services.identity.oauth.identities import link_first
from services.identity.oauth.relying_party import Person
from services.identity.oauth.tables import FIND_IDENTITY
from services.identity.second_factors.factors import SecondFactors
from services.identity.second_factors.proof import Proofs
from services.identity.sessions import find_credentials
from services.identity.sessions.store import Sessions
from services.identity.users import PUBLIC, REACHABLE, acting, normalise_email, to_message, users
from services.kit.database import Database, uuid7
from services.kit.errors import ServiceError
from services.kit.jobs import Jobs, Task
from services.kit.resources import list_
from vitalis.identity.v1 import oauth_pb2 as pb
from vitalis.identity.v1 import oauth_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

LOGGED_IN = (
    sa.update(users).where(users.c.id == sa.bindparam("key_id")).values(last_login_at=sa.func.now()).returning(*PUBLIC)
)


class OAuthServicer(oauth_pb2_grpc.OAuthServiceServicer):
    def __init__(
        self,
        database: Database,
        flows: Flows,
        sessions: Sessions,
        factors: SecondFactors,
        proofs: Proofs,
        addresses: Addresses,
        notice: Task,
        jobs: Jobs,
    ) -> None:
        self.database = database
        self._flows = flows
        self._sessions = sessions
        self._factors = factors
        self._proofs = proofs
        self._addresses = addresses
        self._notice = notice
        self._jobs = jobs

    async def StartOAuth(self, request: pb.StartOAuthRequest, context: Context) -> pb.StartOAuthResponse:
        """The way to the provider. Raises OAUTH_PROVIDER_UNKNOWN, OAUTH_REDIRECT_NOT_ALLOWED."""
        return pb.StartOAuthResponse(authorization=await self._flows.begin(request.provider, request.redirect_uri))

    async def CompleteOAuth(self, request: pb.CompleteOAuthRequest, context: Context) -> pb.CompleteOAuthResponse:
        """A session of whom the identity belongs to, or of a new person; a challenge for who has a second factor.

        Raises OAUTH_STATE_INVALID, OAUTH_REFUSED, OAUTH_EMAIL_MISSING,
        OAUTH_LINK_FIRST, ACCOUNT_SUSPENDED.
        """
        flow = Flow(request.state, request.binding)
        person = await self._flows.end(request.provider, flow, request.code, request.iss)
        found = await self.database.fetch(FIND_IDENTITY, {"provider": request.provider, "provider_user_id": person.id})
        if not found:
            await self._refuse_what_cannot_sign_up(person)
        user_id: UUID = found[0][0] if found else uuid7()
        vault = self.database.vault
        async with self.database.transaction(acting(user_id)) as connection:
            if found:
                await identities.require_active(connection, user_id)
                kept = await identities.refresh(connection, vault, request.provider, person)
            else:
                await identities.sign_up(connection, user_id, person)
                kept = await identities.add(connection, vault, user_id, request.provider, person, used=True) is not None
                if not person.email_proved:
                    await self._addresses.mail(connection, user_id, person.email)
            if not kept:
                # Unlinked, or signed up, by another request of this moment.
                raise ServiceError("OAUTH_STATE_INVALID", "the log-in has to begin again")
            if challenge := await self._factors.challenge_or_none(connection, user_id):
                return pb.CompleteOAuthResponse(challenge=challenge)
            row = (await connection.execute(LOGGED_IN, {"key_id": user_id})).one()
            tokens = await self._sessions.start(connection, user_id, row.role)
        return pb.CompleteOAuthResponse(user=to_message(row), tokens=tokens)

    async def _refuse_what_cannot_sign_up(self, person: Person) -> None:
        """Raises OAUTH_EMAIL_MISSING, OAUTH_LINK_FIRST.

        That an address is registered is told only to whom the provider says that
        it is theirs. Otherwise a new person may have it too, unverified.
        """
        if not person.email:
            raise ServiceError("OAUTH_EMAIL_MISSING", "the provider gives no email address; sign up with one")
        if person.email_verified:
            taken, _ = await find_credentials(self.database, normalise_email(person.email))
            if taken:
                raise link_first()

    async def ProveEmail(self, request: pb.ProveEmailRequest, context: Context) -> pb.ProveEmailResponse:
        """Raises VERIFICATION_TOKEN_INVALID."""
        await self._addresses.prove(UUID(request.user_id), request.token)
        return pb.ProveEmailResponse()

    async def StartLink(self, request: pb.StartLinkRequest, context: Context) -> pb.StartLinkResponse:
        """The way to the provider.

        Raises PROOF_REFUSED, TOO_MANY_ATTEMPTS, OAUTH_PROVIDER_UNKNOWN, OAUTH_REDIRECT_NOT_ALLOWED.
        """
        await self._proofs.demand(request.proof)
        authorization = await self._flows.begin(request.provider, request.redirect_uri, request.user_id)
        return pb.StartLinkResponse(authorization=authorization)

    async def LinkIdentity(self, request: pb.LinkIdentityRequest, context: Context) -> pb.LinkIdentityResponse:
        """Raises OAUTH_PROVIDER_UNKNOWN, OAUTH_STATE_INVALID, OAUTH_REFUSED, IDENTITY_TAKEN."""
        flow = Flow(request.state, request.binding, request.user_id)
        person = await self._flows.end(request.provider, flow, request.code, request.iss)
        user_id = UUID(request.user_id)
        async with self.database.transaction() as connection:
            identity = await identities.add(
                connection, self.database.vault, user_id, request.provider, person, used=False
            )
            if identity is None:
                raise ServiceError("IDENTITY_TAKEN", "the identity is linked already")
            await self._jobs.defer(
                connection, self._notice, lock=request.user_id, user_id=request.user_id, provider=request.provider
            )
        return pb.LinkIdentityResponse(identity=identity)

    ListIdentities = list_(identities.IDENTITIES)

    async def UnlinkIdentity(self, request: pb.UnlinkIdentityRequest, context: Context) -> pb.UnlinkIdentityResponse:
        """Raises PROOF_REFUSED, TOO_MANY_ATTEMPTS, NOT_FOUND, LAST_WAY_TO_LOG_IN."""
        await self._proofs.demand(request.proof)
        async with self.database.transaction() as connection:
            await identities.remove(connection, UUID(request.user_id), UUID(request.id))
        return pb.UnlinkIdentityResponse()


def declare_notice(jobs: Jobs, database: Database, mailer: Mailer, letters: Letters) -> Task:
    """The job that tells somebody, at their verified address, that there is a new way to log in as them."""

    @jobs.job("mail_identity_linked", attempts=ATTEMPTS)
    async def mail_identity_linked(user_id: str, provider: str) -> None:
        address = sa.select(users.c.email).where(users.c.id == UUID(user_id), *REACHABLE)
        async with database.transaction() as connection:
            email = (await connection.execute(address)).scalar_one_or_none()
        if email:
            await mailer.send(email, *letters.identity_linked(provider))

    return mail_identity_linked
