"""What coaching rests on comes in one answer, and the reference lists are those of the file."""

import psycopg
import pytest
from google.protobuf.json_format import MessageToDict

from services.identity.coaching_profile.reference import REFERENCE
from services.kit.caller import ANONYMOUS
from services.kit.contract import closed_values
from tests.harness import reason
from tests.identity.coaching.coached import Coached, coached, sending
from tests.identity.conftest import Identity
from tests.people import insert_person
from vitalis.identity.v1 import (
    allergies_pb2,
    allergies_pb2_grpc,
    coaching_context_pb2,
    coaching_context_pb2_grpc,
    dietary_restrictions_pb2,
    dietary_restrictions_pb2_grpc,
    health_profile_pb2,
    health_profile_pb2_grpc,
    medical_conditions_pb2,
    medical_conditions_pb2_grpc,
)
from vitalis.identity.v1.coaching_profile_pb2 import CoachingProfile
from vitalis.options.v1 import rules_pb2


async def read(person: Coached) -> coaching_context_pb2.CoachingContext:
    answer: coaching_context_pb2.GetCoachingContextResponse = await person.ask("GetCoachingContext")
    return answer.coaching_context


async def state(person: Coached, name: str, severity: str) -> None:
    stub = allergies_pb2_grpc.AllergiesServiceStub(person.running.channel)
    request = allergies_pb2.CreateAllergyRequest(
        user_id=person.id, allergy=allergies_pb2.Allergy(name=name, severity=severity, notes="since childhood")
    )
    await stub.CreateAllergy(request, metadata=person.running.metadata(person.caller))


async def record(person: Coached, **given: str) -> None:
    """A dietary restriction, or a medical condition."""
    metadata = person.running.metadata(person.caller)
    if "restriction" in given:
        diets = dietary_restrictions_pb2_grpc.DietaryRestrictionsServiceStub(person.running.channel)
        eaten = dietary_restrictions_pb2.DietaryRestriction(**given)  # type: ignore[arg-type]
        await diets.CreateDietaryRestriction(
            dietary_restrictions_pb2.CreateDietaryRestrictionRequest(user_id=person.id, dietary_restriction=eaten),
            metadata=metadata,
        )
    else:
        conditions = medical_conditions_pb2_grpc.MedicalConditionsServiceStub(person.running.channel)
        condition = medical_conditions_pb2.MedicalCondition(**given)  # type: ignore[arg-type]
        await conditions.CreateMedicalCondition(
            medical_conditions_pb2.CreateMedicalConditionRequest(user_id=person.id, medical_condition=condition),
            metadata=metadata,
        )


async def weigh(person: Coached, **body: float) -> None:
    stub = health_profile_pb2_grpc.HealthProfileServiceStub(person.running.channel)
    request = health_profile_pb2.UpdateHealthProfileRequest(
        user_id=person.id,
        health_profile=health_profile_pb2.HealthProfile(**body),  # type: ignore[arg-type]
    )
    await stub.UpdateHealthProfile(request, metadata=person.running.metadata(person.caller))


async def test_the_context_is_what_holds_now(ada: Coached) -> None:
    for name, severity in (("milk", "MILD"), ("wheat", "LIFE_THREATENING"), ("soy", "MODERATE"), ("fish", "SEVERE")):
        await state(ada, name, severity)
    await weigh(ada, height_cm=170, weight_kg=72.5)
    profile = await ada.read()
    context = await read(ada)
    for field in CoachingProfile.DESCRIPTOR.fields:
        if field.name in context.DESCRIPTOR.fields_by_name and field.name != "etag":
            assert getattr(context, field.name) == getattr(profile, field.name), field.name
    # Peanuts are out of the diet's list, without a severity: as dangerous as a severe one.
    assert [allergy.name for allergy in context.allergies] == ["wheat", "peanuts", "fish", "soy", "milk"]
    assert context.allergies[0].notes == "since childhood"
    assert (context.has_health, context.health_profile.weight_kg) == (True, 72.5)

    goals, constraints, meals = list(profile.goals), list(profile.constraints), list(profile.meal_schedules)
    goals[1].status = "paused"
    constraints[0].is_active = False
    meals[2].is_active = False
    sent = sending(goals=goals, constraints=constraints, meal_schedules=meals, meal_plan={"meals_per_day": 2})
    await ada.change(sent)
    context = await read(ada)
    assert [goal.id for goal in context.goals] == [goals[0].id]
    assert [constraint.id for constraint in context.constraints] == [constraint.id for constraint in constraints[1:]]
    assert [meal.meal_number for meal in context.meal_schedules] == [1, 2]
    assert context.version == 2


async def test_what_somebody_eats_by_and_is_treated_for_is_in_it(identity: Identity, ada: Coached) -> None:
    bert = await coached(identity.running, "bert@example.com")
    await record(bert, restriction="kosher")
    await record(bert, name="epilepsy", status="active")
    await record(ada, restriction="gluten_free")
    await record(ada, restriction="halal", notes="since I married")
    for name, status in (("asthma", "active"), ("a broken arm", "resolved"), ("leukaemia", "remission")):
        await record(ada, name=name, status=status)
    context = await read(ada)
    assert [each.restriction for each in context.dietary_restrictions] == ["halal", "gluten_free"]
    assert context.dietary_restrictions[0].notes == "since I married"
    assert [each.name for each in context.medical_conditions] == ["leukaemia", "asthma"]
    ada.sql("UPDATE dietary_restrictions SET deleted_at = now() WHERE user_id = %s", ada.id)
    assert not (await read(ada)).dietary_restrictions


async def test_its_etag_changes_with_everything_in_it(ada: Coached) -> None:
    seen = [(await read(ada)).etag]
    assert (await read(ada)).etag == seen[0]
    await ada.change(CoachingProfile(stress_level="low"))
    seen.append((await read(ada)).etag)
    await state(ada, "wheat", "MILD")
    seen.append((await read(ada)).etag)
    await weigh(ada, weight_kg=70)
    seen.append((await read(ada)).etag)
    ada.sql("UPDATE allergies SET deleted_at = now() WHERE user_id = %s AND name = 'wheat'", ada.id)
    seen.append((await read(ada)).etag)
    assert len(set(seen)) == len(seen)


async def test_the_body_and_allergies_are_for_whoever_may_read_the_health_profile(ada: Coached) -> None:
    await weigh(ada, weight_kg=70)
    await record(ada, restriction="halal")
    await record(ada, name="asthma", status="active")
    carla = insert_person(ada.running.database, "carla@example.com", role="coach")
    context = await read(ada.delegate(carla, "coaching_profile.read"))
    assert (context.has_health, len(context.allergies), context.HasField("health_profile")) == (False, 0, False)
    assert (len(context.dietary_restrictions), len(context.medical_conditions)) == (0, 0)
    assert context.goals
    both = await read(ada.delegate(carla, "coaching_profile.read", "health_profile.read"))
    assert (both.has_health, len(both.allergies), both.health_profile.weight_kg) == (True, 1, 70)
    assert not both.health_profile.HasField("date_of_birth")
    assert await reason(read(ada.delegate(carla, "health_profile.read"))) == "SCOPE_MISSING"


async def test_another_persons_allergies_are_not_in_it(identity: Identity, ada: Coached) -> None:
    bert = await coached(identity.running, "bert@example.com")
    await state(bert, "wheat", "SEVERE")
    assert [allergy.name for allergy in (await read(ada)).allergies] == ["peanuts"]


async def test_the_lists_are_those_of_the_file_and_of_the_contract(identity: Identity) -> None:
    stub = coaching_context_pb2_grpc.CoachingContextServiceStub(identity.running.channel)
    request = coaching_context_pb2.GetReferenceListsRequest()
    lists = (await stub.GetReferenceLists(request, metadata=identity.metadata(ANONYMOUS))).reference_lists
    for name, stored in (
        ("fitness_levels", REFERENCE.ref_fitness_levels),
        ("goal_categories", REFERENCE.ref_goal_categories),
        ("diet_types", REFERENCE.ref_diet_types),
        ("equipment_types", REFERENCE.ref_equipment_types),
    ):
        for entry, row in zip(getattr(lists, name), stored, strict=True):
            found = MessageToDict(entry, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
            assert found.items() >= {key: value for key, value in row.items() if key != "sort_order"}.items()
    for name, rule in (
        ("fitness_levels", rules_pb2.fitness_level),
        ("goal_categories", rules_pb2.goal_category),
        ("diet_types", rules_pb2.diet_type),
    ):
        assert [entry.code for entry in getattr(lists, name)] == list(closed_values(rule)), name
    primary = [entry.code for entry in lists.goal_categories if entry.compatible_with_primary]
    assert primary == list(closed_values(rules_pb2.primary_goal))
    locations = {place for entry in lists.equipment_types for place in entry.typical_locations}
    assert locations <= set(closed_values(rules_pb2.workout_location))


def test_what_excludes_a_goal_is_excluded_by_it() -> None:
    for goal, excluded in REFERENCE.excludes.items():
        assert goal not in excluded
        assert all(goal in REFERENCE.excludes[other] for other in excluded)
    assert all(REFERENCE.serves.values())


async def test_nobody_changes_the_lists(identity: Identity) -> None:
    with psycopg.connect(identity.database.app_url) as app, pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute("SELECT * FROM ref_equipment_types")
