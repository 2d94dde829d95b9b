"""Somebody with a coaching profile, as the tests of it need it."""

from dataclasses import dataclass, replace
from typing import Any

import psycopg
from google.protobuf.field_mask_pb2 import FieldMask

from services.identity.coaching_profile.changes import create
from services.kit.caller import Caller
from services.kit.database import uuid7
from tests.harness import Running, person
from tests.identity.factors import BY_PASSWORD, PASSWORD_HASH
from tests.people import insert_person
from vitalis.identity.v1 import coaching_context_pb2 as context_pb
from vitalis.identity.v1 import coaching_context_pb2_grpc, coaching_history_pb2_grpc, coaching_profile_pb2_grpc
from vitalis.identity.v1 import coaching_history_pb2 as history_pb
from vitalis.identity.v1 import coaching_profile_pb2 as profile_pb
from vitalis.identity.v1.coaching_profile_pb2 import CoachingProfile

REASON = "I sleep better now"


def a_profile(**changed: Any) -> CoachingProfile:
    """A profile that holds, of somebody who wants to lose fat and has a bad knee."""
    content: dict[str, Any] = {
        "fitness_level": "beginner",
        "primary_goal": "fat_loss",
        "secondary_goal": "strength",
        "energy_level": "medium",
        "stress_level": "high",
        "sleep_quality": "fair",
        "goals": [
            {
                "goal_type": "primary",
                "goal_category": "fat_loss",
                "target_weight_kg": 72.5,
                "target_body_fat_percentage": 18,
                "target_timeline_weeks": 26,
                "user_explanation": "my doctor said so",
            },
            {"goal_type": "secondary", "goal_category": "strength", "priority": 2, "target_muscle_gain_kg": 1.25},
        ],
        "constraints": [
            {
                "constraint_type": "injury",
                "constraint_category": "knee",
                "description": "torn meniscus",
                "severity": "moderate",
            },
            {"constraint_type": "equipment", "available_equipment": ["dumbbells", "bench"]},
            {
                "constraint_type": "time_constraint",
                "max_workout_duration_minutes": 45,
                "available_time_slots": [{"day": "monday", "start": "18:00", "end": "20:00"}],
            },
        ],
        "dietary_preferences": {
            "diet_type": "vegetarian",
            "allergies": ["peanuts"],
            "intolerances": ["lactose"],
            "dislikes": ["olives"],
            "cooking_skill_level": "intermediate",
            "budget_per_day_usd": 12.5,
            "macro_targets": {"calories_kcal": 2000, "protein_grams": 150},
            "additional_notes": "no soup",
        },
        "meal_plan": {
            "meals_per_day": 3,
            "daily_calories_target": 2000,
            "daily_calories_min": 1800,
            "daily_calories_max": 2200,
            "protein_grams_target": 150,
            "carbs_grams_target": 200,
            "fats_grams_target": 66.67,
            "protein_percentage": 30,
            "carbs_percentage": 40,
            "fats_percentage": 30,
            "plan_rationale": "a deficit of 400 kcal",
        },
        "meal_schedules": [
            {
                "meal_number": 1,
                "meal_name": "Breakfast",
                "scheduled_time": "07:30",
                "earliest_time": "07:00",
                "latest_time": "09:00",
            },
            {"meal_number": 2, "meal_name": "Lunch", "scheduled_time": "12:30"},
            {"meal_number": 3, "meal_name": "Dinner", "scheduled_time": "19:00", "notification_offset_minutes": -30},
        ],
        "workout_schedule": {
            "monday_workout": True,
            "thursday_workout": True,
            "preferred_workout_time": "18:00",
            "preferred_workout_duration_minutes": 45,
            "rest_day_preference": "flexible",
        },
        "hydration_preferences": {"daily_water_target_ml": 2500, "reminder_tone": "minimal"},
    }
    return CoachingProfile(**{**content, **changed})


def sending(**fields: Any) -> CoachingProfile:
    """What a change sends; parts as dicts."""
    return CoachingProfile(**fields)


@dataclass
class Coached:
    """A person, and what they ask about their coaching profile."""

    running: Running
    caller: Caller

    @property
    def id(self) -> str:
        return self.caller.subject

    def delegate(self, actor: str, *scopes: str) -> "Coached":
        """Somebody with a grant of theirs."""
        granted = frozenset(scopes or ("coaching_profile.read", "coaching_profile.write"))
        return Coached(self.running, Caller(actor, self.id, "coach", granted, "request-1", grant_id=str(uuid7())))

    def admin(self, actor: str) -> "Coached":
        return Coached(self.running, replace(self.caller, actor=actor, role="admin"))

    async def ask(self, rpc: str, **fields: Any) -> Any:
        """Calls an RPC about the person."""
        stubs: list[Any] = [
            coaching_profile_pb2_grpc.CoachingProfileServiceStub(self.running.channel),
            coaching_history_pb2_grpc.CoachingHistoryServiceStub(self.running.channel),
            coaching_context_pb2_grpc.CoachingContextServiceStub(self.running.channel),
        ]
        call = next(getattr(stub, rpc) for stub in stubs if hasattr(stub, rpc))
        module = next(module for module in (profile_pb, history_pb, context_pb) if hasattr(module, f"{rpc}Request"))
        request = getattr(module, f"{rpc}Request")(**{"user_id": self.id, **fields})
        return await call(request, metadata=self.running.metadata(self.caller), timeout=30)

    async def read(self) -> CoachingProfile:
        profile: CoachingProfile = (await self.ask("GetCoachingProfile")).coaching_profile
        return profile

    async def change(self, profile: CoachingProfile, *paths: str, **fields: Any) -> CoachingProfile:
        """Changes the profile, with the password unless told otherwise."""
        given = {"modification_reason": REASON, "proof": BY_PASSWORD, "update_mask": FieldMask(paths=paths), **fields}
        changed: CoachingProfile = (await self.ask("UpdateCoachingProfile", profile=profile, **given)).coaching_profile
        return changed

    async def lock(self, **fields: Any) -> CoachingProfile:
        locked: CoachingProfile = (await self.ask("LockCoachingProfile", **fields)).coaching_profile
        return locked

    async def unlock(self, **fields: Any) -> CoachingProfile:
        given = {"reason": "my coach plans the week", "proof": BY_PASSWORD, **fields}
        unlocked: CoachingProfile = (await self.ask("UnlockCoachingProfile", **given)).coaching_profile
        return unlocked

    async def roll_back(self, version: int, **fields: Any) -> CoachingProfile:
        given = {"version": version, "reason": "it was better then", "proof": BY_PASSWORD, **fields}
        profile: CoachingProfile = (await self.ask("RollBackCoachingProfile", **given)).coaching_profile
        return profile

    async def versions(self) -> list[history_pb.ProfileVersion]:
        """All versions, the newest first."""
        return list((await self.ask("ListProfileVersions", page_size=1000)).profile_versions)

    async def make(self, profile: CoachingProfile, reason: str = "onboarding") -> CoachingProfile:
        """Makes the profile, as a confirmed onboarding does."""
        async with self.running.pool.transaction(self.caller) as connection:
            return await _as(self.caller, connection, profile, reason)

    def sql(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Runs a statement as the owner of the tables."""
        with psycopg.connect(self.running.database.migrator_url) as owner:
            cursor = owner.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []


async def _as(caller: Caller, connection: Any, profile: CoachingProfile, reason: str) -> CoachingProfile:
    from services.kit.caller import calling

    with calling(caller):
        return await create(connection, profile, reason)


def somebody(running: Running, email: str = "ada@example.com", **columns: object) -> Coached:
    """Somebody without a profile, whose password is that of tests/identity/factors.py."""
    user_id = insert_person(running.database, email, password_hash=PASSWORD_HASH, **columns)
    return Coached(running, person(user_id))


async def coached(running: Running, email: str = "ada@example.com", **changed: Any) -> Coached:
    """Somebody with a profile, locked as onboarding leaves it."""
    owner = somebody(running, email)
    await owner.make(a_profile(**changed))
    return owner
