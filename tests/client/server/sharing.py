"""Sharing: grants given and received."""

from google.protobuf import json_format, message
from starlette.requests import Request
from starlette.responses import Response

from tests.client.server.base import NOW, OWNER_ID, USER, Base, Place, bad_query, cut, find, refuse, reply
from vitalis.identity.v1 import sharing_pb2


class Sharing(Base):
    """Keeps what is given and received."""

    def __init__(self) -> None:
        super().__init__()
        self.grants: list[sharing_pb2.Grant] = []
        self.received: list[sharing_pb2.ReceivedGrant] = []
        self.shared_scopes = ["wearables.read"]

    def open_places(self) -> list[Place]:
        return [
            *super().open_places(),
            ("GET", "/api/v1/sharing-terms", self.get_sharing_terms),
        ]

    def places(self) -> list[Place]:
        return [
            *super().places(),
            ("POST", USER + "/grants", self.create_grant),
            ("GET", USER + "/grants", self.list_grants),
            ("PATCH", USER + "/grants/{id}", self.update_grant),
            ("POST", USER + "/grants/{id}:revoke", self.revoke_grant),
            ("POST", USER + "/received-grants:accept", self.accept_grant),
            ("POST", USER + "/received-grants:decline", self.decline_grant),
            ("GET", USER + "/received-grants", self.list_received_grants),
            ("POST", USER + "/received-grants/{id}:leave", self.leave_grant),
        ]

    async def get_sharing_terms(self, request: Request) -> Response:
        return reply(sharing_pb2.GetSharingTermsResponse(version="1", text="What you share is seen.\n"))

    def _stamp(self, grant: message.Message, *names: str) -> None:
        for name in names:
            getattr(grant, name).FromDatetime(NOW)

    async def create_grant(self, request: Request) -> Response:
        grant = json_format.Parse(await request.body(), sharing_pb2.Grant())
        if grant.grantee_email == "taken@example.com":
            return refuse(409, "ALREADY_EXISTS", "GRANT_EXISTS", "you share with this address already")
        grant.id, grant.status = f"01990000-0000-7000-8000-2{len(self.grants):011d}", "pending"
        self._stamp(grant, "consented_at", "invitation_expires_at", "created_at", "updated_at")
        self.grants.append(grant)
        return reply(grant)

    async def list_grants(self, request: Request) -> Response:
        if problem := bad_query(request, sharing_pb2.ListGrantsRequest):
            return problem
        rows, token = cut(request, list(reversed(self.grants)))
        return reply(sharing_pb2.ListGrantsResponse(grants=rows, next_page_token=token))

    async def update_grant(self, request: Request) -> Response:
        sent = json_format.Parse(await request.body(), sharing_pb2.Grant())
        grant = find(request, self.grants)
        del grant.scopes[:]
        grant.scopes.extend(sent.scopes)
        return reply(grant)

    async def revoke_grant(self, request: Request) -> Response:
        grant = find(request, self.grants)
        grant.status = "revoked"
        return reply(grant)

    async def accept_grant(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), sharing_pb2.AcceptGrantRequest())
        if body.token != "vgt_good":
            return refuse(403, "PERMISSION_DENIED", "GRANT_TOKEN_INVALID", "the invitation is not valid")
        grant = sharing_pb2.ReceivedGrant(
            id=f"01990000-0000-7000-8000-3{len(self.received):011d}",
            owner_id=OWNER_ID,
            owner_name="Bert\x1b[2J",
            scopes=self.shared_scopes,
            relation="person",
            status="active",
        )
        self._stamp(grant, "accepted_at")
        self.received.append(grant)
        return reply(grant)

    async def decline_grant(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), sharing_pb2.DeclineGrantRequest())
        if body.token != "vgt_good":
            return refuse(403, "PERMISSION_DENIED", "GRANT_TOKEN_INVALID", "the invitation is not valid")
        return reply(sharing_pb2.DeclineGrantResponse())

    async def list_received_grants(self, request: Request) -> Response:
        if problem := bad_query(request, sharing_pb2.ListReceivedGrantsRequest):
            return problem
        rows, token = cut(request, list(reversed(self.received)))
        return reply(sharing_pb2.ListReceivedGrantsResponse(received_grants=rows, next_page_token=token))

    async def leave_grant(self, request: Request) -> Response:
        find(request, self.received).status = "declined"
        return reply(sharing_pb2.LeaveGrantResponse())
