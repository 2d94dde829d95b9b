"""Epigenetic tests: biological age, the pace of ageing, and the ages of organ systems."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.caller import current
from services.kit.database import Database, changed_at
from services.kit.resources import create, delete, get, list_, undelete, update
from services.labs.base import IDEMPOTENCY_KEYS
from services.labs.children import Children, ParentResource
from services.labs.epigenetics.tables import epigenetic_organ_ages, epigenetic_tests
from vitalis.labs.v1 import epigenetics_pb2 as pb
from vitalis.labs.v1 import epigenetics_pb2_grpc as pb_grpc
from vitalis.options.v1 import rules_pb2

ORGAN_AGES = Children(
    "organ_ages",
    pb.OrganAge,
    epigenetic_organ_ages,
    parent="test_id",
    key="organ_system",
    rule=rules_pb2.organ_system,
)


class EpigeneticTests(ParentResource):
    """Tests whose organ ages repeat the test's chronological age, as it is now."""

    async def insert(self, connection: AsyncConnection, values: dict[str, Any]) -> Any:
        return await self._aged(connection, await super().insert(connection, values))

    async def change(self, connection: AsyncConnection, row_id: str, values: dict[str, Any]) -> Any:
        return await self._aged(connection, await super().change(connection, row_id, values))

    async def _aged(self, connection: AsyncConnection, test: Any) -> Any:
        organs = epigenetic_organ_ages
        age = (
            sa.select(epigenetic_tests.c.chronological_age)
            .where(epigenetic_tests.c.user_id == organs.c.user_id, epigenetic_tests.c.id == organs.c.test_id)
            .scalar_subquery()
        )
        statement = (
            sa.update(organs)
            .where(
                organs.c.user_id == current().subject,
                organs.c.test_id == test.id,
                organs.c.chronological_age.is_distinct_from(age),
            )
            .values(chronological_age=age, updated_at=changed_at(organs))
        )
        if (await connection.execute(statement)).rowcount:
            del test.organ_ages[:]
            test.organ_ages.extend((await ORGAN_AGES.select(connection, [test.id]))[test.id])
        return test


TESTS = EpigeneticTests(
    pb.EpigeneticTest,
    epigenetic_tests,
    (ORGAN_AGES,),
    what="test",
    order_by=("collected_at", "id"),
    date_column="collected_at",
    heavy=("raw_data",),
    idempotency_keys=IDEMPOTENCY_KEYS,
)


class EpigeneticsServicer(pb_grpc.EpigeneticsServiceServicer):
    def __init__(self, database: Database) -> None:
        self.database = database

    CreateEpigeneticTest = create(TESTS)
    GetEpigeneticTest = get(TESTS)
    ListEpigeneticTests = list_(TESTS)
    UpdateEpigeneticTest = update(TESTS)
    DeleteEpigeneticTest = delete(TESTS)
    UndeleteEpigeneticTest = undelete(TESTS)
