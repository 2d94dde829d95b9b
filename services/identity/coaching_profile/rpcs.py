"""Reading, changing, locking and unlocking a coaching profile."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.coaching_profile import changes, store
from services.identity.coaching_profile.settle import unmaskable
from services.identity.coaching_profile.store import Locked
from services.identity.second_factors.proof import Proofs, proof_refused
from services.kit.caller import current
from services.kit.database import Database, now
from services.kit.errors import ServiceError, Violation, etag_mismatch
from services.kit.interceptor import also_wrong
from vitalis.identity.v1 import coaching_profile_pb2 as pb
from vitalis.identity.v1 import coaching_profile_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[Any, Any]
Confirm = Callable[[AsyncConnection, str], Awaitable[pb.CoachingProfile]]
LOCKED_BY_ITS_OWNER = "the profile was locked"


class CoachingProfileServicer(pb_grpc.CoachingProfileServiceServicer):
    def __init__(self, database: Database, proofs: Proofs, confirm: Confirm) -> None:
        """`confirm` makes the first profile of the subject, out of their onboarding (onboarding/confirm.py)."""
        self._database = database
        self._proofs = proofs
        self._confirm = confirm

    async def GetCoachingProfile(
        self, request: pb.GetCoachingProfileRequest, context: Context
    ) -> pb.GetCoachingProfileResponse:
        """The profile. Raises NOT_FOUND."""
        return pb.GetCoachingProfileResponse(coaching_profile=await store.find(self._database))

    async def _wrong(self, request: pb.UpdateCoachingProfileRequest) -> list[Violation]:
        """Every rule that a change breaks. Raises NOT_FOUND, and PROFILE_LOCKED for who cannot make it."""
        paths = list(request.update_mask.paths)
        if found := unmaskable(paths):
            return found
        stored = await store.find(self._database)
        if stored.is_locked and current().is_delegate:
            raise locked()
        _, found = changes.changed(request.profile, Locked(stored, now()), paths)
        return [Violation(f"profile.{each.field}", each.description) for each in found]

    @also_wrong(_wrong)
    async def UpdateCoachingProfile(
        self, request: pb.UpdateCoachingProfileRequest, context: Context
    ) -> pb.UpdateCoachingProfileResponse:
        """The profile as changed. Raises NOT_FOUND, ETAG_MISMATCH, PROFILE_LOCKED, and of the proof's errors."""
        paths = list(request.update_mask.paths)
        changes.refuse(unmaskable(paths), "")
        is_proved = False
        if (await store.find(self._database)).is_locked:
            if current().is_delegate:
                raise locked()
            await self._proofs.demand(request.proof)
            is_proved = True
        async with self._database.transaction() as connection:
            before = await lock_unchanged(connection, request.etag or request.profile.etag)
            if before.profile.is_locked and not is_proved:
                # Its owner has locked it since it was looked at.
                raise locked() if current().is_delegate else proof_refused()
            profile = await changes.update(connection, before, request.profile, paths, request.modification_reason)
        return pb.UpdateCoachingProfileResponse(coaching_profile=profile)

    async def LockCoachingProfile(
        self, request: pb.LockCoachingProfileRequest, context: Context
    ) -> pb.LockCoachingProfileResponse:
        """The profile, locked. Who has none yet confirms their onboarding by this.

        Raises NOT_FOUND, ETAG_MISMATCH, ONBOARDING_INCOMPLETE, EMAIL_UNVERIFIED.
        """
        async with self._database.transaction() as connection:
            if await store.is_there(connection):
                before = await lock_unchanged(connection, request.etag)
                profile = await changes.set_lock(connection, before, LOCKED_BY_ITS_OWNER, is_locked=True)
            else:
                profile = await self._confirm(connection, request.user_id)
        return pb.LockCoachingProfileResponse(coaching_profile=profile)

    async def UnlockCoachingProfile(
        self, request: pb.UnlockCoachingProfileRequest, context: Context
    ) -> pb.UnlockCoachingProfileResponse:
        """The profile, unlocked. Raises NOT_FOUND, ETAG_MISMATCH, and of the proof's errors."""
        await self._proofs.demand(request.proof)
        async with self._database.transaction() as connection:
            before = await lock_unchanged(connection, request.etag)
            profile = await changes.set_lock(connection, before, request.reason, is_locked=False)
        return pb.UnlockCoachingProfileResponse(coaching_profile=profile)


async def lock_unchanged(connection: AsyncConnection, etag: str) -> Locked:
    """The profile for a change. Raises NOT_FOUND, and ETAG_MISMATCH with the present etag."""
    before = await store.lock(connection)
    if etag and etag != before.profile.etag:
        raise etag_mismatch("coaching profile", before.profile.etag)
    return before


def locked() -> ServiceError:
    return ServiceError("PROFILE_LOCKED", "the profile is locked; its owner can unlock it")
