"""What coaching rests on, in one round trip to the database; and the reference lists."""

import hashlib
from typing import Any

import grpc
import sqlalchemy as sa
from google.protobuf import json_format

from services.identity.coaching_profile.parts import PARTS, JsonRows
from services.identity.coaching_profile.store import HEAD, assemble
from services.identity.coaching_profile.tables import (
    fitness_goals,
    meal_schedules,
    physical_constraints,
    user_profiles,
)
from services.identity.health_profile import profile as health_profile
from services.identity.health_profile.allergies import ALLERGIES
from services.identity.health_profile.conditions import CONDITIONS, INTOLERANCES, RESTRICTIONS
from services.identity.health_profile.records import HealthRecord
from services.identity.health_profile.tables import allergies, medical_conditions
from services.identity.users import users
from services.kit.caller import current
from services.kit.database import Database, Statement
from services.kit.errors import not_found
from services.kit.vault import GENERAL
from vitalis.identity.v1 import coaching_context_pb2 as pb
from vitalis.identity.v1 import coaching_context_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[Any, Any]
HEALTH = "health_profile.read"
ACTIVE = {
    "goals": fitness_goals.c.status == "active",
    "constraints": physical_constraints.c.is_active,
    "meal_schedules": meal_schedules.c.is_active,
}
# One without a severity counts as severe.
DANGER = sa.case(
    (allergies.c.severity == "LIFE_THREATENING", 0),
    (allergies.c.severity == "MODERATE", 2),
    (allergies.c.severity == "MILD", 3),
    else_=1,
)


def _newest_first(record: HealthRecord) -> JsonRows:
    return JsonRows(record.rows, record.table.c.created_at.desc(), record.table.c.id.desc())


# What the health profile adds, by the field that it becomes, and what is left out of it.
STATED = {
    "allergies": JsonRows(ALLERGIES.rows, DANGER, allergies.c.created_at, allergies.c.id),
    "intolerances": _newest_first(INTOLERANCES),
    "dietary_restrictions": _newest_first(RESTRICTIONS),
    "medical_conditions": _newest_first(CONDITIONS),
}
HOLDS = {"medical_conditions": [medical_conditions.c.status != "resolved"]}
PROFILE_COLUMNS = (
    *HEAD.columns(HEAD.names),
    *(part.json.select(users.c.id, *([ACTIVE[part.field]] if part.field in ACTIVE else [])) for part in PARTS),
)
# The columns of the body, its wrapped key among them, come first.
BODY = len(health_profile.READ.selected_columns)
WRAPPED_KEY = next(
    index for index, column in enumerate(health_profile.READ.selected_columns) if column.key == "wrapped_key"
)
FIND = Statement(
    health_profile.READ.add_columns(
        *PROFILE_COLUMNS,
        *(
            stated.select(users.c.id, stated.rows.table.c.deleted_at.is_(None), *HOLDS.get(name, ()))
            for name, stated in STATED.items()
        ),
    ).join_from(users, user_profiles, user_profiles.c.user_id == users.c.id)
)
REFERENCE_LISTS = Statement(sa.select(sa.func.reference_lists()))


class CoachingContextServicer(pb_grpc.CoachingContextServiceServicer):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def GetCoachingContext(
        self, request: pb.GetCoachingContextRequest, context: Context
    ) -> pb.GetCoachingContextResponse:
        """The context. Raises NOT_FOUND without a coaching profile."""
        rows = await self._database.fetch(FIND, {"user_id": request.user_id})
        if not rows:
            raise not_found("coaching profile")
        body, profile, stated = rows[0][:BODY], rows[0][BODY : -len(STATED)], rows[0][-len(STATED) :]
        key = self._database.vault.open(current().subject, GENERAL, body[WRAPPED_KEY])
        answer = pb.CoachingContext()
        for field, value in assemble(profile, key).ListFields():
            if field.name not in answer.DESCRIPTOR.fields_by_name:
                continue
            if field.is_repeated:
                getattr(answer, field.name).extend(value)
            elif field.message_type:
                getattr(answer, field.name).CopyFrom(value)
            else:
                setattr(answer, field.name, value)
        if current().may(HEALTH):
            answer.has_health = True
            for (name, kind), found in zip(STATED.items(), stated, strict=True):
                getattr(answer, name).extend(kind.read(found, key))
            answer.health_profile.CopyFrom(health_profile.to_message(body, key))
        # Of all that it says: an age changes without anything being written.
        answer.etag = hashlib.sha256(answer.SerializeToString(deterministic=True)).hexdigest()[:32]
        return pb.GetCoachingContextResponse(coaching_context=answer)

    async def GetReferenceLists(
        self, request: pb.GetReferenceListsRequest, context: Context
    ) -> pb.GetReferenceListsResponse:
        """The lists as they are stored."""
        ((lists,),) = await self._database.fetch(REFERENCE_LISTS, {})
        return pb.GetReferenceListsResponse(reference_lists=json_format.ParseDict(lists, pb.ReferenceLists()))
