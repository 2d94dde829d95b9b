"""Reading the versions of a coaching profile, comparing them, and going back to one."""

from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Value

from services.identity.coaching_profile import changes, versions
from services.identity.coaching_profile.differences import differences
from services.identity.coaching_profile.rpcs import lock_unchanged
from services.identity.second_factors.proof import Proofs
from services.kit.database import Database, now
from services.kit.paging import bad_token, decode_token, encode_token, instant_of, page_size
from vitalis.identity.v1 import coaching_history_pb2 as pb
from vitalis.identity.v1 import coaching_history_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[Any, Any]
LIST = pb.ListProfileVersionsRequest.DESCRIPTOR.full_name
# PostgreSQL's integer.
MOST = 2**31 - 1


class CoachingHistoryServicer(pb_grpc.CoachingHistoryServiceServicer):
    def __init__(self, database: Database, proofs: Proofs) -> None:
        self._database = database
        self._proofs = proofs

    async def ListProfileVersions(
        self, request: pb.ListProfileVersionsRequest, context: Context
    ) -> pb.ListProfileVersionsResponse:
        """A page of versions, the newest first. Raises INVALID_PAGE_TOKEN."""
        size = page_size(request.page_size)
        found = await versions.page(self._database, _position(request.page_token), size + 1)
        token = encode_token([str(found[size - 1].version)], LIST) if len(found) > size else ""
        return pb.ListProfileVersionsResponse(profile_versions=found[:size], next_page_token=token)

    async def GetProfileVersion(
        self, request: pb.GetProfileVersionRequest, context: Context
    ) -> pb.GetProfileVersionResponse:
        """A version with its profile. Raises NOT_FOUND."""
        return pb.GetProfileVersionResponse(profile_version=await versions.numbered(self._database, request.version))

    async def GetProfileAt(self, request: pb.GetProfileAtRequest, context: Context) -> pb.GetProfileAtResponse:
        """The version of a moment with its profile. Raises NOT_FOUND."""
        moment = instant_of("time", request.time) if request.HasField("time") else now()
        return pb.GetProfileAtResponse(profile_version=await versions.at(self._database, moment))

    async def CompareProfileVersions(
        self, request: pb.CompareProfileVersionsRequest, context: Context
    ) -> pb.CompareProfileVersionsResponse:
        """What two versions differ in. Raises NOT_FOUND."""
        other = await versions.numbered(self._database, request.to_version)
        number = request.from_version or other.version - 1
        # Before the first version there was nothing.
        one = await versions.numbered(self._database, number) if number else pb.ProfileVersion()
        return pb.CompareProfileVersionsResponse(
            from_version=number,
            to_version=other.version,
            differences=[
                pb.ProfileDifference(
                    field=difference.field, **_sides(**{"from": difference.before, "to": difference.after})
                )
                for difference in differences(one.profile, other.profile)
            ],
        )

    async def RollBackCoachingProfile(
        self, request: pb.RollBackCoachingProfileRequest, context: Context
    ) -> pb.RollBackCoachingProfileResponse:
        """The profile as it was in a version. Raises NOT_FOUND, ETAG_MISMATCH, and of the proof's errors."""
        await self._proofs.demand(request.proof)
        target = await versions.numbered(self._database, request.version)
        async with self._database.transaction() as connection:
            before = await lock_unchanged(connection, request.etag)
            profile = await changes.roll_back(connection, before, target.profile, request.reason)
        return pb.RollBackCoachingProfileResponse(coaching_profile=profile)


def _position(token: str) -> int | None:
    if not token:
        return None
    (text,) = decode_token(token, 1, LIST)
    if not text.isascii() or not text.isdigit() or int(text) > MOST:
        raise bad_token()
    return int(text)


def _sides(**values: Any) -> Any:
    """The values that are there, as JSON values."""
    return {side: json_format.ParseDict(value, Value()) for side, value in values.items() if value is not None}
