"""Identity, and somebody with a verified address whose health is written about."""

from importlib import import_module
from typing import Any, NamedTuple

import psycopg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from services.kit.caller import Caller
from tests.harness import person
from tests.identity.conftest import Identity, identity, settings, trust

__all__ = ["identity", "settings", "trust"]


class Kind(NamedTuple):
    """One kind of record: its proto file, message and service, and the least that one is made of."""

    file: str
    message: str
    plural: str
    field: str
    least: dict[str, Any]

    @property
    def pb(self) -> Any:
        return import_module(f"vitalis.identity.v1.{self.file}_pb2")

    def stub(self, channel: Any) -> Any:
        return getattr(import_module(f"vitalis.identity.v1.{self.file}_pb2_grpc"), f"{self.plural}ServiceStub")(channel)


ALLERGY = Kind("allergies", "Allergy", "Allergies", "allergy", {"name": "peanuts", "severity": "SEVERE"})
INTOLERANCE = Kind("intolerances", "Intolerance", "Intolerances", "intolerance", {"name": "lactose"})
CONDITION = Kind(
    "medical_conditions",
    "MedicalCondition",
    "MedicalConditions",
    "medical_condition",
    {"name": "asthma", "status": "active"},
)
RESTRICTION = Kind(
    "dietary_restrictions",
    "DietaryRestriction",
    "DietaryRestrictions",
    "dietary_restriction",
    {"restriction": "halal"},
)
KINDS = (ALLERGY, INTOLERANCE, CONDITION, RESTRICTION)


class Patient(NamedTuple):
    """Somebody, and the calls about their health."""

    identity: Identity
    caller: Caller

    @property
    def id(self) -> str:
        return self.caller.subject

    async def call(self, kind: Kind, name: str, caller: Caller | None = None, **given: Any) -> Any:
        request = getattr(kind.pb, f"{name}Request")(user_id=self.id, **given)
        metadata = self.identity.metadata(caller or self.caller)
        return await getattr(kind.stub(self.identity.running.channel), name)(request, metadata=metadata)

    async def create(self, kind: Kind, request_id: str = "", **fields: Any) -> Any:
        message = getattr(kind.pb, kind.message)(**{**kind.least, **fields})
        answer = await self.call(kind, f"Create{kind.message}", **{kind.field: message, "request_id": request_id})
        return getattr(answer, kind.field)

    async def get(self, kind: Kind, row_id: str) -> Any:
        return getattr(await self.call(kind, f"Get{kind.message}", id=row_id), kind.field)

    async def all(self, kind: Kind, **given: Any) -> list[Any]:
        answer = await self.call(kind, f"List{kind.plural}", **given)
        return list(next((value for field, value in answer.ListFields() if field.is_repeated), ()))

    async def update(self, kind: Kind, row_id: str, *paths: str, **fields: Any) -> Any:
        message = getattr(kind.pb, kind.message)(**fields)
        mask = FieldMask(paths=paths)
        answer = await self.call(kind, f"Update{kind.message}", id=row_id, update_mask=mask, **{kind.field: message})
        return getattr(answer, kind.field)

    async def delete(self, kind: Kind, row_id: str, etag: str = "") -> None:
        await self.call(kind, f"Delete{kind.message}", id=row_id, etag=etag)

    async def undelete(self, kind: Kind, row_id: str) -> Any:
        return getattr(await self.call(kind, f"Undelete{kind.message}", id=row_id), kind.field)

    def unverify(self) -> None:
        """Takes the proof of the address away, as if there never was one."""
        self.sql("UPDATE users SET email_verified_at = NULL WHERE id = %s", self.id)

    def sql(self, statement: str, *parameters: object) -> list[Any]:
        """A statement as the tables' owner."""
        with psycopg.connect(self.identity.database.migrator_url) as owner:
            cursor = owner.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
async def patient(identity: Identity) -> Patient:
    user_id = await identity.make_person("ada@example.com")
    return Patient(identity, person(user_id))
