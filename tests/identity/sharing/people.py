"""Ada, who shares; and those with whom she does."""

import email
import email.policy
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
from google.protobuf.timestamp_pb2 import Timestamp

from services.identity.sharing.terms import TERMS_VERSION
from services.kit.caller import Caller
from tests.harness import person
from tests.identity.conftest import Identity
from vitalis.identity.v1 import sharing_pb2 as pb
from vitalis.identity.v1 import sharing_pb2_grpc

TOKEN = re.compile(r"vgt_[A-Za-z0-9_-]{40,}")
ADA, CARLA, EVE = "ada@example.com", "carla@example.com", "eve@example.com"


@dataclass(frozen=True)
class Mail:
    to: str
    body: str

    @property
    def token(self) -> str:
        return TOKEN.findall(self.body)[0]


@dataclass(frozen=True)
class Sharing:
    """Identity, and what the tests of sharing ask of it."""

    identity: Identity
    mailbox: Path

    @property
    def stub(self) -> "sharing_pb2_grpc.GrantsServiceAsyncStub":
        return sharing_pb2_grpc.GrantsServiceStub(self.identity.running.channel)

    async def somebody(self, address: str, name: str = "Somebody", **columns: Any) -> Caller:
        return replace(
            person(await self.identity.make_person(address, name, **columns)), address="203.0.113.7", user_agent="tests"
        )

    def call(self, method: str, caller: Caller, **fields: Any) -> Any:
        """An RPC about the caller themselves, unless the fields say otherwise."""
        request = getattr(pb, f"{method}Request")(**{"user_id": caller.subject, **fields})
        return getattr(self.stub, method)(request, metadata=self.identity.metadata(caller))

    def offer(self, owner: Caller, to: str = CARLA, *scopes: str, request_id: str = "", **fields: Any) -> Any:
        return self.call("CreateGrant", owner, grant=draft(to, *scopes, **fields), request_id=request_id)

    async def offered(self, owner: Caller, to: str = CARLA, *scopes: str, **fields: Any) -> pb.Grant:
        return (await self.offer(owner, to, *scopes, **fields)).grant

    async def accepted(self, owner: Caller, grantee: Caller, to: str = CARLA, *scopes: str, **fields: Any) -> pb.Grant:
        """A grant that is active, as its owner sees it."""
        grant = await self.offered(owner, to, *scopes, **fields)
        await self.call("AcceptGrant", grantee, token=(await self.mails())[-1].token)
        return await self.get(owner, grant.id)

    async def get(self, owner: Caller, grant_id: str) -> pb.Grant:
        return (await self.call("GetGrant", owner, id=grant_id)).grant

    async def received(self, grantee: Caller) -> list[pb.ReceivedGrant]:
        return list((await self.call("ListReceivedGrants", grantee)).received_grants)

    async def work(self) -> None:
        """Runs the jobs that are queued."""
        jobs = self.identity.running.parts.jobs
        assert jobs
        await jobs.app.run_worker_async(wait=False, install_signal_handlers=False)

    async def mails(self) -> list[Mail]:
        """Everything that was mailed, the oldest first."""
        await self.work()
        found = []
        for file in sorted(self.mailbox.glob("*.eml")):
            message = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
            found.append(Mail(str(message["To"]), message.get_content()))
        return found

    def sql(self, statement: str, *parameters: Any) -> list[Any]:
        """As the tables' owner, past row security."""
        with psycopg.connect(self.identity.database.migrator_url) as connection:
            cursor = connection.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def run_out(self, grant_id: str, column: str = "expires_at") -> None:
        """Makes the grant's time pass, by the database's clock."""
        self.sql(f"UPDATE grants SET {column} = now() - interval '1 second' WHERE id = %s", grant_id)


def draft(to: str = CARLA, *scopes: str, **fields: Any) -> pb.Grant:
    values = {"relation": "person", "consent_version": TERMS_VERSION, **fields}
    return pb.Grant(grantee_email=to, scopes=scopes or ("wearables.read",), **values)


def instant(seconds: float) -> Timestamp:
    return Timestamp(seconds=int(seconds))
