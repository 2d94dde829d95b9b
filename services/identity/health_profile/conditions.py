"""Intolerances, medical conditions and dietary restrictions."""

from services.identity.health_profile.records import HealthRecord, NamedRecord
from services.identity.health_profile.tables import dietary_restrictions, intolerances, medical_conditions
from services.kit.database import Database
from services.kit.resources import create, delete, get, list_, undelete, update
from vitalis.identity.v1 import (
    dietary_restrictions_pb2,
    dietary_restrictions_pb2_grpc,
    intolerances_pb2,
    intolerances_pb2_grpc,
    medical_conditions_pb2,
    medical_conditions_pb2_grpc,
)

INTOLERANCES = NamedRecord(
    intolerances_pb2.Intolerance, intolerances, what="intolerance", encrypted=("reaction", "notes")
)
CONDITIONS = HealthRecord(
    medical_conditions_pb2.MedicalCondition, medical_conditions, what="medical condition", encrypted=("notes",)
)
RESTRICTIONS = HealthRecord(
    dietary_restrictions_pb2.DietaryRestriction,
    dietary_restrictions,
    what="dietary restriction",
    encrypted=("notes",),
)


class IntolerancesServicer(intolerances_pb2_grpc.IntolerancesServiceServicer):
    def __init__(self, database: Database) -> None:
        self.database = database

    GetIntolerance = get(INTOLERANCES)
    ListIntolerances = list_(INTOLERANCES)
    CreateIntolerance = create(INTOLERANCES)
    UpdateIntolerance = update(INTOLERANCES)
    DeleteIntolerance = delete(INTOLERANCES)
    UndeleteIntolerance = undelete(INTOLERANCES)


class MedicalConditionsServicer(medical_conditions_pb2_grpc.MedicalConditionsServiceServicer):
    def __init__(self, database: Database) -> None:
        self.database = database

    GetMedicalCondition = get(CONDITIONS)
    ListMedicalConditions = list_(CONDITIONS)
    CreateMedicalCondition = create(CONDITIONS)
    UpdateMedicalCondition = update(CONDITIONS)
    DeleteMedicalCondition = delete(CONDITIONS)
    UndeleteMedicalCondition = undelete(CONDITIONS)


class DietaryRestrictionsServicer(dietary_restrictions_pb2_grpc.DietaryRestrictionsServiceServicer):
    def __init__(self, database: Database) -> None:
        self.database = database

    GetDietaryRestriction = get(RESTRICTIONS)
    ListDietaryRestrictions = list_(RESTRICTIONS)
    CreateDietaryRestriction = create(RESTRICTIONS)
    UpdateDietaryRestriction = update(RESTRICTIONS)
    DeleteDietaryRestriction = delete(RESTRICTIONS)
    UndeleteDietaryRestriction = undelete(RESTRICTIONS)
