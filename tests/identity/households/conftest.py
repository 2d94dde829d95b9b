"""Households: somebody with an account of several places, and who comes into it."""

import re
from typing import Any

import grpc
import psycopg
import pytest

from services.identity.accounts.invitations import TOKEN_PREFIX
from services.identity.tokens import fingerprint
from services.kit.caller import Caller
from services.kit.errors import from_rpc_error
from tests.harness import person
from tests.identity.conftest import Identity
from vitalis.identity.v1 import accounts_pb2 as pb

OPENED = "open"


class Household:
    """One identity, asked about accounts by whoever it is."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity

    async def ask(self, rpc: str, who: Caller, **fields: Any) -> Any:
        request = getattr(pb, f"{rpc}Request")(user_id=who.subject, **fields)
        return await getattr(self.identity.accounts, rpc)(request, metadata=self.identity.metadata(who))

    async def person(self, name: str) -> Caller:
        return person(await self.identity.make_person(f"{name}@example.com", name.title()))

    async def family(self, name: str = "ada") -> Caller:
        """The owner of an account with four places."""
        owner = await self.person(name)
        self.change("subscription_tier = 'family', max_users = 4", owner)
        return owner

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.identity.database.migrator_url) as owner:
            cursor = owner.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def change(self, values: str, owner: Caller) -> None:
        self.sql(f"UPDATE accounts SET {values} WHERE owner_id = %s", owner.subject)

    async def account(self, who: Caller) -> pb.Account:
        return (await self.ask("GetAccount", who)).account

    async def invite(self, owner: Caller, name: str) -> pb.AccountInvitation:
        invitation = pb.AccountInvitation(email=f"{name}@example.com")
        answer = await self.ask("CreateAccountInvitation", owner, account_invitation=invitation)
        return answer.account_invitation

    async def token(self, name: str) -> str:
        """The token of the mail that was sent last to the address."""
        await self.identity.run_jobs()
        mails = [mail for mail in self.identity.mails() if mail["to"] == f"{name}@example.com"]
        found = re.search(rf"\b{TOKEN_PREFIX}[\w-]+", mails[-1].get_content())
        assert found
        return found[0]

    async def join(self, who: Caller, token: str) -> pb.Account:
        return (await self.ask("JoinAccount", who, token=token)).account

    async def add(self, owner: Caller, name: str) -> Caller:
        """A new person who has joined the owner's account."""
        await self.invite(owner, name)
        member = await self.person(name)
        await self.join(member, await self.token(name))
        return member

    def plant(self, owner: Caller, name: str) -> str:
        """An open invitation whatever the rules say; its token."""
        token = f"{TOKEN_PREFIX}{name}"
        self.sql(
            "INSERT INTO account_invitations (id, user_id, account_id, email, token_sha256, expires_at)"
            " SELECT gen_random_uuid(), id, account_id, %s, %s, now() + interval '1 day' FROM users WHERE id = %s",
            f"{name}@example.com",
            fingerprint(token),
            owner.subject,
        )
        return token


@pytest.fixture
def home(identity: Identity) -> Household:
    return Household(identity)


async def names(home: Household, who: Caller) -> list[tuple[str, bool]]:
    return [(member.display_name, member.is_owner) for member in (await home.account(who)).members]


async def outcome(call: Any) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error).reason.name
    return "joined"
