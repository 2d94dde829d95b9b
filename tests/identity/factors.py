"""A person and their second factors, as the tests of them need it."""

import time
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import psycopg
import pyotp
from argon2 import PasswordHasher
from google.protobuf.struct_pb2 import Struct

from services.kit.caller import Caller
from tests.harness import person
from tests.identity.authenticator import Authenticator
from tests.identity.conftest import EMAIL, PASSWORD, Identity
from vitalis.identity.v1 import passkeys_pb2, passkeys_pb2_grpc, second_factors_pb2_grpc
from vitalis.identity.v1 import second_factors_pb2 as pb

# At a lower cost than the service's own, so that it is replaced where that matters.
PASSWORD_HASH = PasswordHasher(memory_cost=8, time_cost=1, parallelism=1).hash(PASSWORD)
BY_PASSWORD = pb.Proof(password=PASSWORD)


@dataclass
class Owner:
    """Somebody who has signed up. `secret` and `recovery_codes` are what they were shown."""

    identity: Identity
    user_id: str
    email: str
    secret: str = ""
    recovery_codes: tuple[str, ...] = ()
    session_id: str = ""

    @property
    def caller(self) -> Caller:
        return replace(person(self.user_id), session_id=self.session_id)

    async def ask(self, rpc: str, **fields: Any) -> Any:
        """Calls an RPC about oneself."""
        stubs: list[Any] = [
            second_factors_pb2_grpc.SecondFactorsServiceStub(self.identity.running.channel),
            passkeys_pb2_grpc.PasskeysServiceStub(self.identity.running.channel),
        ]
        call = next(getattr(stub, rpc) for stub in stubs if hasattr(stub, rpc))
        module: Any = pb if hasattr(pb, f"{rpc}Request") else passkeys_pb2
        request = getattr(module, f"{rpc}Request")(user_id=self.user_id, **fields)
        return await call(request, metadata=self.identity.metadata(self.caller))

    async def enable_totp(self) -> "Owner":
        self.secret = (await self.ask("BeginTotp", proof=BY_PASSWORD)).secret
        await self.confirm()
        return self

    async def confirm(self) -> None:
        """Confirms the secret that was begun, and lets time pass until the next code."""
        codes = (await self.ask("ConfirmTotp", totp_code=self.code())).recovery_codes
        self.recovery_codes = tuple(codes) or self.recovery_codes
        self.wait()

    async def add_passkey(self, authenticator: Authenticator | None = None, name: str = "Phone") -> Authenticator:
        authenticator = authenticator or Authenticator()
        options = (await self.ask("BeginPasskey", proof=BY_PASSWORD)).passkey_options
        answer = await self.ask("CreatePasskey", credential=authenticator.create(options), name=name)
        self.recovery_codes = tuple(answer.recovery_codes) or self.recovery_codes
        return authenticator

    async def passkey_options(self) -> Struct:
        options: Struct = (await self.ask("BeginPasskeyProof")).passkey_options
        return options

    async def passkeys(self) -> list[passkeys_pb2.Passkey]:
        return list((await self.ask("ListPasskeys")).passkeys)

    def code(self) -> str:
        """What the app shows now."""
        return pyotp.TOTP(self.secret).now()

    def wrong_code(self) -> str:
        """A code that the app shows neither now nor soon."""
        near = {pyotp.TOTP(self.secret).at(0, counter_offset=self._step() + around) for around in range(-3, 4)}
        return next(code for code in map("{:06d}".format, range(10)) if code not in near)

    def _step(self) -> int:
        return int(time.time()) // 30

    def wait(self) -> None:
        """As if the last code had been accepted long ago, and every wait were over."""
        self.write(
            "UPDATE totp_factors SET last_step = last_step - 100, blocked_until = blocked_until - interval '1 day'"
            " WHERE user_id = %s"
        )

    def write(self, statement: str, *parameters: Any) -> None:
        """Changes the person's rows as nobody but the tables' owner can; the person's id is the last parameter."""
        with psycopg.connect(self.identity.database.migrator_url) as connection:
            connection.execute(statement.encode(), [*parameters, UUID(self.user_id)])

    def rows(self, table: str) -> list[dict[str, Any]]:
        """What is stored of the person, as the tables' owner sees it."""
        with psycopg.connect(self.identity.database.migrator_url, row_factory=psycopg.rows.dict_row) as connection:
            query = f"SELECT * FROM {table} WHERE user_id = %s ORDER BY created_at".encode()
            return connection.execute(query, [UUID(self.user_id)]).fetchall()

    async def mails(self) -> list[str]:
        """The subjects of all mails so far, the oldest first, once the queued jobs have run."""
        await self.identity.run_jobs()
        return [str(mail["Subject"]) for mail in self.identity.mails() if mail["To"] == self.email]


async def somebody(identity: Identity, email: str = EMAIL, **columns: Any) -> Owner:
    """A person who can log in with PASSWORD."""
    user_id = await identity.make_person(email, **{"password_hash": PASSWORD_HASH, **columns})
    return Owner(identity, user_id, email)
