"""Which second factors a person has, and whether what somebody gives is one of them."""

import math
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.second_factors import challenges, passkeys, recovery_codes, totp
from services.identity.second_factors.notices import FACTOR_REMOVED, LAST_FACTOR_REMOVED, RECOVERY_CODE_USED, Notices
from services.identity.second_factors.verdict import WRONG, Verdict
from services.identity.second_factors.webauthn_ceremonies import Assertion, Refused, RelyingParty
from services.identity.users import timestamp
from services.kit.database import Database
from services.kit.errors import ServiceError
from vitalis.identity.v1 import second_factors_pb2 as pb

TOTP, PASSKEY, RECOVERY_CODE = "totp", "passkey", "recovery_code"


class State(NamedTuple):
    """What a person has; the instants are None without an app, and until its first use after turning it on."""

    totp_confirmed_at: Any
    totp_last_used_at: Any
    passkeys: int
    recovery_codes_left: int

    @property
    def has_factor(self) -> bool:
        """Recovery codes stand in for a factor and are none by themselves."""
        return bool(self.totp_confirmed_at or self.passkeys)


def state_of(user_id: sa.ColumnElement[UUID]) -> sa.Select[Any]:
    """Selects the `State` of a person in one row."""
    app, keys, codes = totp.totp_factors.c, passkeys.passkeys.c, recovery_codes.recovery_codes.c
    mine = sa.and_(app.user_id == user_id, totp.CONFIRMED)
    return sa.select(
        sa.select(app.confirmed_at).where(mine).scalar_subquery(),
        sa.select(app.last_used_at).where(mine).scalar_subquery(),
        sa.select(sa.func.count()).where(keys.user_id == user_id).scalar_subquery(),
        sa.select(sa.func.count()).where(codes.user_id == user_id, codes.used_at.is_(None)).scalar_subquery(),
    )


class SecondFactors:
    """What logging in, proving and managing have in common."""

    def __init__(self, database: Database, relying_party: RelyingParty, notices: Notices) -> None:
        self._database = database
        self.relying_party = relying_party
        self.notices = notices

    async def state(self, connection: AsyncConnection, user_id: UUID) -> State:
        """What the person has."""
        return State(*(await connection.execute(state_of(sa.literal(user_id)))).one())

    async def challenge_or_none(self, connection: AsyncConnection, user_id: UUID) -> pb.LogInChallenge | None:
        """What a log-in lacks that is right so far; None if it lacks nothing."""
        state = await self.state(connection, user_id)
        if not state.has_factor:
            return None
        challenge = await challenges.issue(connection, user_id, challenges.LOG_IN)
        has = {TOTP: state.totp_confirmed_at, PASSKEY: state.passkeys, RECOVERY_CODE: state.recovery_codes_left}
        options = None
        if state.passkeys:
            known = await passkeys.known(connection, user_id)
            options = self.relying_party.request_options(challenge.signed, known, alone=False)
        return pb.LogInChallenge(
            challenge=challenge.token,
            expires_at=timestamp(challenge.expires_at),
            methods=[method for method, there in has.items() if there],
            passkey_options=options,
        )

    async def verify(
        self,
        connection: AsyncConnection,
        user_id: UUID,
        kind: str,
        given: Any,
        challenge: str | None = None,
        *,
        alone: bool = False,
    ) -> Verdict:
        """Whether `given`, of the field `kind` of a request, is a factor of the person; uses it up.

        `challenge` is what a passkey has to have signed; None for one that was
        issued for a proof. A passkey that stands `alone`, without a password,
        has to have verified its owner. The transaction must be committed
        whatever the verdict, because it counts what was wrong.
        """
        if kind == "totp_code":
            verdict = await totp.verify(connection, self._database.vault, user_id, given)
        elif kind == "recovery_code":
            used = await recovery_codes.use(connection, user_id, given)
            verdict = Verdict(True, notice=RECOVERY_CODE_USED) if used else WRONG
        else:
            verdict = await self._verify_passkey(connection, user_id, given, challenge, alone)
        await self.notices.queue(connection, user_id, verdict.notice)
        return verdict

    async def _verify_passkey(
        self, connection: AsyncConnection, user_id: UUID, given: Any, challenge: str | None, alone: bool
    ) -> Verdict:
        try:
            assertion = Assertion.read(given)
        except Refused:
            return WRONG
        if challenge is None:
            challenge = assertion.challenge
            if not await challenges.take(connection, challenges.PROOF, challenge):
                return WRONG
        return await passkeys.verify(connection, self.relying_party, user_id, assertion, challenge, alone=alone)

    async def has_lost_one(self, connection: AsyncConnection, user_id: UUID) -> None:
        """Tells the person; with the last factor the recovery codes go."""
        state = await self.state(connection, user_id)
        if not state.has_factor:
            await recovery_codes.forget(connection, user_id)
        await self.notices.queue(connection, user_id, FACTOR_REMOVED if state.has_factor else LAST_FACTOR_REMOVED)


def too_many_attempts(wait: timedelta) -> ServiceError:
    """The error of a code that was not looked at. Recovery codes and passkeys go on working."""
    seconds = math.ceil(wait.total_seconds())
    return ServiceError(
        "TOO_MANY_ATTEMPTS", f"too many wrong codes; try again in {seconds} seconds", retry_after_seconds=seconds
    )
