"""Allergies, and what is stated of them elsewhere."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.health_profile.allergens.matcher import MATCHER, Match
from services.identity.health_profile.records import NamedRecord, linked
from services.identity.health_profile.tables import allergies
from services.identity.health_profile.writers import writer
from services.kit.database import Database, uuid7
from services.kit.resources import create, delete, get, list_, undelete, update
from vitalis.identity.v1 import allergies_pb2 as pb
from vitalis.identity.v1 import allergies_pb2_grpc as pb_grpc

FROM_A_LIST = "dietary_preferences"
ALLERGIES = NamedRecord(pb.Allergy, allergies, what="allergy", encrypted=("reaction", "notes"))


class AllergiesServicer(pb_grpc.AllergiesServiceServicer):
    def __init__(self, database: Database) -> None:
        self.database = database

    GetAllergy = get(ALLERGIES)
    ListAllergies = list_(ALLERGIES)
    CreateAllergy = create(ALLERGIES)
    UpdateAllergy = update(ALLERGIES)
    DeleteAllergy = delete(ALLERGIES)
    UndeleteAllergy = undelete(ALLERGIES)


async def state_allergies(connection: AsyncConnection, user_id: str, names: Sequence[str]) -> None:
    """Adds an allergy for each name that the transaction's subject has not stated, without a severity.

    A name of several allergens becomes one for each, a name that is not on the
    list stays as it is written, and "none" is none. What is there already, under this name or as the
    same allergen, is left alone, and nothing is taken away. Names are 1 to 100
    characters. Raises EMAIL_UNVERIFIED.
    """
    if not names:
        return
    await writer(connection, user_id)
    mine = sa.select(sa.func.lower(allergies.c.name)).where(
        allergies.c.user_id == user_id, allergies.c.deleted_at.is_(None)
    )
    stated = set((await connection.execute(mine)).scalars())
    rows = []
    for name in dict.fromkeys(names):
        if name.lower() not in stated and not MATCHER.says_none(name):
            # None: it stays as it is written.
            matches: list[Match | None] = [*MATCHER.named(name)] or [None]
            rows += [
                {"id": uuid7(), "user_id": user_id, "name": name, "source": FROM_A_LIST, **linked(match)}
                for match in matches
            ]
    if rows:
        # Two of them may be the same allergen, and the person may have stated it under another name.
        await connection.execute(postgresql.insert(allergies).values(rows).on_conflict_do_nothing())
