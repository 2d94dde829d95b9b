"""Who somebody is right now: what the gateway asks before it signs a caller."""

from typing import Any

import grpc

from services.identity.sharing.tables import RESOLVE_CALLER
from services.kit.database import Database
from vitalis.identity.v1 import callers_pb2 as pb
from vitalis.identity.v1 import callers_pb2_grpc


class CallersServicer(callers_pb2_grpc.CallersServiceServicer):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def ResolveCaller(
        self, request: pb.ResolveCallerRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ResolveCallerResponse:
        """The session, its person and the grant for the subject, in one round trip to the database."""
        asked = {"actor": request.actor, "session": request.session, "subject": request.subject}
        rows = await self._database.fetch(RESOLVE_CALLER, asked)
        if not rows:
            return pb.ResolveCallerResponse()
        role, grant_id, scopes, seconds_left = rows[0]
        response = pb.ResolveCallerResponse(alive=True, role=role)
        if grant_id is not None:
            response.grant.CopyFrom(pb.ResolvedGrant(id=str(grant_id), scopes=scopes, seconds_left=seconds_left))
        return response
