"""Coaching profiles, for the benchmark `coaching`: everybody has one, and some ask for theirs."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import psycopg
from google.protobuf import json_format

from services.identity.coaching_profile import changes, context, store, versions
from services.kit.caller import Caller, calling
from services.kit.database import Database, Statement
from services.kit.paging import encode_token
from services.kit.vault import Vault
from vitalis.identity.v1 import (
    coaching_context_pb2,
    coaching_context_pb2_grpc,
    coaching_history_pb2,
    coaching_history_pb2_grpc,
    coaching_profile_pb2,
    coaching_profile_pb2_grpc,
)
from vitalis.identity.v1.coaching_profile_pb2 import CoachingProfile

PROFILE, CONTEXT, UPDATE = "coaching profile", "coaching context", "change of a coaching profile"
FIRST_PAGE, LATE_PAGE = "page 1 of 1,000 versions", "page 20 of 1,000 versions"
TARGETS = {PROFILE: 10.0, CONTEXT: 20.0}
VERSIONS, PAGE = 1_000, 50
# How often each person asks.
READS = 10
TABLES = (
    "user_profile_versions",
    "user_profiles",
    "fitness_goals",
    "physical_constraints",
    "dietary_preferences",
    "meal_plans",
    "meal_schedules",
    "workout_schedules",
    "hydration_preferences",
    "health_profiles",
    "user_preferences",
    "allergies",
    "intolerances",
    "dietary_restrictions",
    "medical_conditions",
    "data_keys",
)
# As long as what a person writes; nobody reads these.
NOTE, SNAPSHOT = "decode(repeat('5a', 120), 'hex')", "decode(repeat('5a', 4500), 'hex')"
FILLING = (
    (
        "INSERT INTO user_profile_versions"
        " (id, user_id, version, profile_snapshot, changed_fields, change_reason, changed_by, valid_from, valid_until)"
        f" SELECT uuidv7(), id, v, {SNAPSHOT}, '{{stress_level}}', {NOTE}, 'user', now() - (3 - v) * interval '1 day',"
        "   CASE WHEN v = 1 THEN now() - interval '1 day' END FROM people CROSS JOIN generate_series(1, 2) AS v"
    ),
    (
        "INSERT INTO user_profiles (id, user_id, version, previous_version, fitness_level, primary_goal, energy_level,"
        " stress_level, sleep_quality, modification_reason, locked_at)"
        f" SELECT uuidv7(), id, 2, 1, 'beginner', 'fat_loss', 'medium', 'high', 'fair', {NOTE}, now() FROM people"
    ),
    (
        "INSERT INTO fitness_goals (id, user_id, goal_type, goal_category, priority, user_explanation)"
        f" SELECT uuidv7(), id, (ARRAY['primary', 'secondary'])[n], (ARRAY['fat_loss', 'strength'])[n], n, {NOTE}"
        " FROM people CROSS JOIN generate_series(1, 2) AS n"
    ),
    (
        "INSERT INTO physical_constraints (id, user_id, constraint_type, description, available_equipment)"
        f" SELECT uuidv7(), id, (ARRAY['injury', 'equipment', 'time_constraint'])[n], {NOTE}, '{{dumbbells}}'"
        " FROM people CROSS JOIN generate_series(1, 3) AS n"
    ),
    (
        "INSERT INTO dietary_preferences (user_id, diet_type, allergies, additional_notes)"
        f" SELECT id, 'vegetarian', '{{peanuts}}', {NOTE} FROM people"
    ),
    (
        "INSERT INTO meal_plans (user_id, meals_per_day, daily_calories_target, daily_calories_min, daily_calories_max,"
        " protein_grams_target, carbs_grams_target, fats_grams_target, plan_rationale)"
        f" SELECT id, 3, 2000, 1800, 2200, 150, 200, 66.67, {NOTE} FROM people"
    ),
    (
        "INSERT INTO meal_schedules (user_id, meal_number, scheduled_time)"
        " SELECT id, n, make_time(6 * n, 0, 0) FROM people CROSS JOIN generate_series(1, 3) AS n"
    ),
    "INSERT INTO workout_schedules (user_id, monday_workout) SELECT id, true FROM people",
    "INSERT INTO hydration_preferences (user_id) SELECT id FROM people",
    "INSERT INTO health_profiles (user_id, height_cm, weight_kg) SELECT id, 170, 72.5 FROM people",
    "INSERT INTO user_preferences (user_id) SELECT id FROM people",
    "INSERT INTO allergies (id, user_id, name, severity) SELECT uuidv7(), id, 'peanuts', 'SEVERE' FROM people",
    "INSERT INTO intolerances (id, user_id, name) SELECT uuidv7(), id, 'lactose' FROM people",
    "INSERT INTO dietary_restrictions (id, user_id, restriction) SELECT uuidv7(), id, 'halal' FROM people",
    "INSERT INTO medical_conditions (id, user_id, name, status) SELECT uuidv7(), id, 'asthma', 'active' FROM people",
    (
        "INSERT INTO data_keys (user_id, purpose, wrapped_key, master_key_id)"
        " SELECT id, 'general', decode(repeat('5a', 69), 'hex'), 1 FROM people"
    ),
)


LENGTHENING = (
    (
        "UPDATE user_profile_versions SET valid_until = clock_timestamp() + interval '1 ms'"
        " WHERE user_id = %(user_id)s AND valid_until IS NULL"
    ),
    (
        "INSERT INTO user_profile_versions"
        " (id, user_id, version, profile_snapshot, changed_fields, changed_by, valid_from, valid_until)"
        f" SELECT uuidv7(), user_id, v, {SNAPSHOT}, '{{stress_level}}', 'user',"
        "   valid_until + (v - 3) * interval '1 ms',"
        "   CASE WHEN v < %(versions)s THEN valid_until + (v - 2) * interval '1 ms' END"
        " FROM user_profile_versions CROSS JOIN generate_series(3, %(versions)s) AS v"
        " WHERE user_id = %(user_id)s AND version = 2 ORDER BY v"
    ),
    (
        "UPDATE user_profiles SET version = v.version, previous_version = v.version - 1, updated_at = v.valid_from"
        " FROM user_profile_versions AS v"
        " WHERE v.user_id = user_profiles.user_id AND v.valid_until IS NULL AND v.user_id = %(user_id)s"
    ),
)


def statements(user_id: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """The queries of one person, with their parameters."""
    me = {"user_id": user_id, "owner": user_id, "page_limit": PAGE + 1}
    asked: dict[str, tuple[Statement, dict[str, Any]]] = {
        PROFILE: (store.FIND, {}),
        CONTEXT: (context.FIND, {}),
        FIRST_PAGE: (versions.FIRST_PAGE, {}),
        LATE_PAGE: (versions.NEXT_PAGE, {"before": 51}),
        "a version": (versions.NUMBERED, {"version": 1}),
        "the newest version": (versions.NEWEST, {}),
        "the version of a moment": (versions.AT, {"moment": "2026-01-01T00:00:00Z"}),
        UPDATE: (Statement(store.LOCK), {}),
    }
    return {what: (query.sql, {**query.constants, **me, **given}) for what, (query, given) in asked.items()}


def fill(migrator_url: str, spared: Sequence[str]) -> None:
    """A profile with two versions, allergies and the rest for everybody but those who make theirs themselves.

    Past the triggers, of which each row would ask: what they hold holds here. What is
    encrypted is no ciphertext, only as long as one: nobody reads it.
    """
    with psycopg.connect(migrator_url, autocommit=True) as database:
        database.execute("CREATE TEMPORARY TABLE people (id uuid)")
        database.execute("INSERT INTO people SELECT id FROM users WHERE id <> ALL (%s::uuid[])", [list(spared)])
        with database.transaction():
            for table in TABLES:
                database.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER".encode())
            for statement in FILLING:
                database.execute(statement.encode())
            # The foreign keys, which nothing that waits may outlive.
            database.execute("SET CONSTRAINTS ALL IMMEDIATE")
            for table in TABLES:
                database.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER".encode())
        database.execute(f"VACUUM (ANALYZE) {', '.join(TABLES)}".encode())


async def make(app_url: str, keyset: Path, people: Sequence[str]) -> None:
    """Profiles that can be read, unlocked, to be changed."""
    database = Database(app_url, 1, Vault(keyset))
    await database.open()
    for user_id in people:
        with calling(_caller(user_id)):
            async with database.transaction() as connection:
                await changes.create(connection, PLAN, "the start")
                before = await store.lock(connection)
                await changes.set_lock(connection, before, "to be changed", is_locked=False)
    await database.close()


def lengthen(migrator_url: str, user_id: str) -> None:
    """Gives a person 1,000 versions, which nobody reads but as lines of a list."""
    with psycopg.connect(migrator_url) as database:
        for statement in LENGTHENING:
            database.execute(statement.encode(), {"user_id": user_id, "versions": VERSIONS})


def calls(
    channel: grpc.aio.Channel, metadata: Callable[[str], Any], longest: str
) -> dict[str, Callable[[str], Iterable[Callable[[], Awaitable[Any]]]]]:
    """What is measured, with the calls that it is for a person; the pages are those of `longest` for everybody."""
    profiles: Any = coaching_profile_pb2_grpc.CoachingProfileServiceStub(channel)
    history: Any = coaching_history_pb2_grpc.CoachingHistoryServiceStub(channel)
    contexts: Any = coaching_context_pb2_grpc.CoachingContextServiceStub(channel)

    def profile(user_id: str) -> Iterator[Callable[[], Awaitable[Any]]]:
        request = coaching_profile_pb2.GetCoachingProfileRequest(user_id=user_id)
        for _ in range(READS):
            yield partial(profiles.GetCoachingProfile, request, metadata=metadata(user_id))

    def whole(user_id: str) -> Iterator[Callable[[], Awaitable[Any]]]:
        request = coaching_context_pb2.GetCoachingContextRequest(user_id=user_id)
        for _ in range(READS):
            yield partial(contexts.GetCoachingContext, request, metadata=metadata(user_id))

    def update(user_id: str) -> Iterator[Callable[[], Awaitable[Any]]]:
        for number in range(2):
            request = coaching_profile_pb2.UpdateCoachingProfileRequest(
                user_id=user_id, profile=_stress(number), modification_reason="it has changed"
            )
            yield partial(profiles.UpdateCoachingProfile, request, metadata=metadata(user_id))

    def page(token: str) -> Callable[[str], Iterator[Callable[[], Awaitable[Any]]]]:
        request = coaching_history_pb2.ListProfileVersionsRequest(user_id=longest, page_size=PAGE, page_token=token)

        def asked(user_id: str) -> Iterator[Callable[[], Awaitable[Any]]]:
            for _ in range(READS // 2):
                yield partial(history.ListProfileVersions, request, metadata=metadata(longest))

        return asked

    late = encode_token(
        [str(VERSIONS - 19 * PAGE + 1)], coaching_history_pb2.ListProfileVersionsRequest.DESCRIPTOR.full_name
    )
    return {PROFILE: profile, CONTEXT: whole, UPDATE: update, FIRST_PAGE: page(""), LATE_PAGE: page(late)}


def _stress(number: int) -> CoachingProfile:
    return CoachingProfile(stress_level=("low", "medium")[number % 2])


def _caller(user_id: str) -> Caller:
    return Caller(user_id, user_id, "user", frozenset({"*"}), "benchmark")


PLAN = json_format.ParseDict(
    {
        "fitness_level": "beginner",
        "primary_goal": "fat_loss",
        "secondary_goal": "strength",
        "energy_level": "medium",
        "stress_level": "high",
        "sleep_quality": "fair",
        "goals": [
            {"goal_type": "primary", "goal_category": "fat_loss", "user_explanation": "a stiff back " * 8},
            {"goal_type": "secondary", "goal_category": "strength", "priority": 2},
        ],
        "constraints": [
            {"constraint_type": "injury", "constraint_category": "back", "description": "a slipped disc " * 8},
            {"constraint_type": "equipment", "available_equipment": ["dumbbells", "bench"]},
            {"constraint_type": "time_constraint", "max_workout_duration_minutes": 45},
        ],
        "dietary_preferences": {"diet_type": "vegetarian", "allergies": ["peanuts"], "additional_notes": "no soup"},
        "meal_plan": {
            "meals_per_day": 3,
            "daily_calories_target": 2000,
            "daily_calories_min": 1800,
            "daily_calories_max": 2200,
            "protein_grams_target": 150,
            "carbs_grams_target": 200,
            "fats_grams_target": 66.67,
            "plan_rationale": "a deficit of 400 kcal " * 8,
        },
        "meal_schedules": [{"meal_number": number, "scheduled_time": f"{6 * number:02}:00"} for number in (1, 2, 3)],
        "workout_schedule": {"monday_workout": True, "thursday_workout": True},
    },
    CoachingProfile(),
)
