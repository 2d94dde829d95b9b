"""How somebody comes to have an account.

They register, and prove their address with the code out of the mail; or they are
stored in identity's database without the way through its RPCs.
"""

import psycopg
from psycopg import sql

from local.mailbox import code_in, mails_to
from services.kit.caller import ANONYMOUS, Caller
from services.kit.database import uuid7
from tests.databases import ServiceDatabase
from tests.harness import Running, drain
from vitalis.identity.v1 import registration_pb2 as pb
from vitalis.identity.v1 import registration_pb2_grpc

EMAIL = "ada@example.com"
PASSWORD = "correct horse battery staple"


async def sign_up(
    running: Running,
    email: str = EMAIL,
    password: str = PASSWORD,
    name: str = "Ada",
    caller: Caller = ANONYMOUS,
) -> pb.VerifyEmailResponse:
    """Somebody new: the person and the tokens of their first session."""
    stub = registration_pb2_grpc.RegistrationServiceStub(running.channel)
    metadata = running.metadata(caller)
    await stub.Register(pb.RegisterRequest(email=email, password=password, display_name=name), metadata=metadata)
    await drain(running)
    code = code_in(mails_to(running.settings.mailbox, email.lower())[-1])
    return await stub.VerifyEmail(pb.VerifyEmailRequest(token=code, password=password), metadata=metadata)


def insert_person(database: ServiceDatabase, email: str, **columns: object) -> str:
    """Stores a person with a verified address and an account of their own; their id."""
    user_id, account_id = str(uuid7()), uuid7()
    row = {"id": user_id, "email": email, "display_name": "Somebody", "account_id": account_id, **columns}
    names = sql.SQL(", ").join(map(sql.Identifier, row))
    values = sql.SQL(", ").join(map(sql.Placeholder, row))
    with psycopg.connect(database.migrator_url) as owner:
        insert = sql.SQL("INSERT INTO users ({}, email_verified_at) VALUES ({}, now())")
        owner.execute(insert.format(names, values), row)
        owner.execute("INSERT INTO accounts (id, owner_id) VALUES (%s, %s)", [account_id, user_id])
    return user_id


def make_family(database: ServiceDatabase, *people: str) -> None:
    """Puts people into one account with four places, whose owner is the first of them."""
    with psycopg.connect(database.migrator_url) as owner:
        owner.execute(
            "UPDATE accounts SET subscription_tier = 'family', max_users = 4 WHERE owner_id = %s", [people[0]]
        )
        owner.execute(
            "UPDATE users SET account_id = (SELECT id FROM accounts WHERE owner_id = %s) WHERE id = ANY (%s)",
            [people[0], list(people)],
        )
