"""Tables of coaching profiles (ONB 6.3 to 6.11). The CHECKs are the last line behind the proto and rules.py.

What rules between rows, and against the reference lists, need more than a
CHECK: the migration has triggers for them, and for versions, which never change.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from services.identity.base import metadata
from services.identity.coaching_profile.reference import REFERENCE
from services.identity.coaching_profile.rules import WORKOUT_DAYS
from services.kit.checks import one_of
from services.kit.contract import closed_values
from services.kit.database import owned
from services.kit.vault import ENCRYPTED, GENERAL
from vitalis.options.v1 import rules_pb2

CHANGED_BY = ("user", "delegate", "admin", "system")


def _note(name: str) -> sa.Column[Any]:
    """Free text about health."""
    return sa.Column(name, sa.LargeBinary, info={ENCRYPTED: GENERAL})


def _moment(name: str, *, default: bool = False) -> sa.Column[Any]:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        nullable=not default,
        server_default=sa.func.now() if default else None,
    )


def _names(name: str) -> sa.Column[Any]:
    return sa.Column(name, ARRAY(sa.Text), nullable=False, server_default="{}")


def _person() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE")


def _one_for_each_person() -> tuple[Any, ...]:
    return (
        sa.Column("user_id", sa.Uuid, primary_key=True),
        _moment("created_at", default=True),
        _moment("updated_at", default=True),
        _person(),
    )


user_profile_versions = sa.Table(
    "user_profile_versions",
    metadata,
    sa.Column("id", sa.Uuid, nullable=False),
    sa.Column("user_id", sa.Uuid, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column(
        "profile_snapshot",
        sa.LargeBinary,
        nullable=False,
        info={ENCRYPTED: GENERAL},
        comment="the profile as JSON of the API, encrypted as a whole, see kit/vault.py",
    ),
    _names("changed_fields"),
    _note("change_reason"),
    sa.Column("changed_by", sa.Text, nullable=False),
    sa.Column("changed_by_id", sa.Uuid, comment="a delegate's or an administrator's account"),
    sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
    _moment("valid_until"),
    _moment("created_at", default=True),
    # Versions go with their person alone, when everything of theirs is erased.
    sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="RESTRICT"),
    sa.ForeignKeyConstraint(["changed_by_id"], ["users.id"], ondelete="SET NULL"),
    sa.Index(None, "changed_by_id", postgresql_where=sa.text("changed_by_id IS NOT NULL")),
    sa.UniqueConstraint("user_id", "valid_from"),
    sa.Index(
        "uq_user_profile_versions_current", "user_id", unique=True, postgresql_where=sa.text("valid_until IS NULL")
    ),
    sa.CheckConstraint("version >= 1", name="version"),
    sa.CheckConstraint("valid_until > valid_from", name="valid_until"),
    sa.CheckConstraint(sa.column("changed_by").in_(CHANGED_BY), name="changed_by"),
)

user_profiles = sa.Table(
    "user_profiles",
    metadata,
    *owned(),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("previous_version", sa.Integer),
    sa.Column("fitness_level", sa.Text, nullable=False),
    sa.Column("primary_goal", sa.Text, nullable=False),
    sa.Column("secondary_goal", sa.Text),
    sa.Column("energy_level", sa.Text, nullable=False),
    sa.Column("stress_level", sa.Text, nullable=False),
    sa.Column("sleep_quality", sa.Text, nullable=False),
    sa.Column("last_modified_by", sa.Text, nullable=False, server_default="user"),
    _note("modification_reason"),
    sa.Column("is_locked", sa.Boolean, nullable=False, server_default="true"),
    _moment("locked_at"),
    sa.PrimaryKeyConstraint("user_id"),
    _person(),
    # The version is written after the profile that it is a picture of.
    sa.ForeignKeyConstraint(
        ["user_id", "version"],
        ["user_profile_versions.user_id", "user_profile_versions.version"],
        deferrable=True,
        initially="DEFERRED",
    ),
    one_of("fitness_level", rules_pb2.fitness_level),
    one_of("primary_goal", rules_pb2.primary_goal),
    one_of("secondary_goal", rules_pb2.goal_category),
    one_of("energy_level", rules_pb2.level),
    one_of("stress_level", rules_pb2.level),
    one_of("sleep_quality", rules_pb2.sleep_quality),
    sa.CheckConstraint(sa.column("last_modified_by").in_(CHANGED_BY), name="last_modified_by"),
    sa.CheckConstraint("secondary_goal <> primary_goal", name="other_secondary_goal"),
    sa.CheckConstraint(
        " AND ".join(
            f"NOT (primary_goal = '{goal}' AND secondary_goal IN ({', '.join(map(repr, sorted(excluded)))}))"
            for goal, excluded in REFERENCE.excludes.items()
            if excluded and goal in closed_values(rules_pb2.primary_goal)
        ),
        name="compatible_goals",
    ),
    sa.CheckConstraint("version >= 1 AND previous_version = version - 1", name="version"),
    sa.CheckConstraint("is_locked = (locked_at IS NOT NULL)", name="locked_at"),
)

fitness_goals = sa.Table(
    "fitness_goals",
    metadata,
    *owned(),
    sa.Column("goal_type", sa.Text, nullable=False),
    sa.Column("goal_category", sa.Text, nullable=False),
    sa.Column("target_weight_kg", sa.Numeric(5, 2)),
    sa.Column("target_body_fat_percentage", sa.Numeric(4, 2)),
    sa.Column("target_muscle_gain_kg", sa.Numeric(4, 2)),
    sa.Column("target_timeline_weeks", sa.Integer),
    sa.Column("target_date", sa.Date),
    sa.Column("pace_preference", sa.Text, nullable=False, server_default="moderate"),
    sa.Column("priority", sa.Integer, nullable=False, server_default="1"),
    sa.Column("status", sa.Text, nullable=False, server_default="active"),
    _note("user_explanation"),
    _moment("completed_at"),
    sa.PrimaryKeyConstraint("user_id", "id"),
    _person(),
    sa.Index(
        "uq_fitness_goals_active_primary",
        "user_id",
        unique=True,
        postgresql_where=sa.text("goal_type = 'primary' AND status = 'active'"),
    ),
    one_of("goal_type", rules_pb2.goal_type),
    one_of("goal_category", rules_pb2.goal_category),
    one_of("pace_preference", rules_pb2.goal_pace),
    one_of("status", rules_pb2.goal_status),
    sa.CheckConstraint("target_weight_kg >= 20 AND target_weight_kg < 500", name="target_weight_kg"),
    sa.CheckConstraint("target_body_fat_percentage BETWEEN 3 AND 50", name="target_body_fat_percentage"),
    sa.CheckConstraint("target_muscle_gain_kg > 0", name="target_muscle_gain_kg"),
    sa.CheckConstraint("target_timeline_weeks BETWEEN 1 AND 520", name="target_timeline_weeks"),
    sa.CheckConstraint("priority BETWEEN 1 AND 100", name="priority"),
    sa.CheckConstraint("(status = 'completed') = (completed_at IS NOT NULL)", name="completed_at"),
)

physical_constraints = sa.Table(
    "physical_constraints",
    metadata,
    *owned(),
    sa.Column("constraint_type", sa.Text, nullable=False),
    sa.Column("constraint_category", sa.Text),
    _note("description"),
    sa.Column("severity", sa.Text),
    sa.Column("workout_location", sa.Text),
    _names("available_equipment"),
    sa.Column("max_workout_duration_minutes", sa.Integer),
    sa.Column("available_time_slots", JSONB, nullable=False, server_default="[]"),
    sa.Column("is_active", sa.Boolean, nullable=False, server_default="true"),
    _moment("resolved_at"),
    sa.PrimaryKeyConstraint("user_id", "id"),
    _person(),
    one_of("constraint_type", rules_pb2.constraint_type),
    one_of("severity", rules_pb2.constraint_severity),
    one_of("workout_location", rules_pb2.workout_location),
    sa.CheckConstraint("char_length(constraint_category) <= 100", name="constraint_category"),
    sa.CheckConstraint(
        "severity IS NULL OR constraint_type IN ('injury', 'limitation')", name="severity_of_hindrances"
    ),
    sa.CheckConstraint("max_workout_duration_minutes BETWEEN 15 AND 180", name="max_workout_duration_minutes"),
    sa.CheckConstraint("jsonb_typeof(available_time_slots) = 'array'", name="available_time_slots"),
    sa.CheckConstraint("is_active = (resolved_at IS NULL)", name="resolved_at"),
)

dietary_preferences = sa.Table(
    "dietary_preferences",
    metadata,
    *_one_for_each_person(),
    sa.Column("diet_type", sa.Text, nullable=False),
    sa.Column("diet_type_other", sa.Text),
    *map(_names, ("allergies", "intolerances", "dislikes", "religious_restrictions", "preferred_cuisines")),
    sa.Column("cooking_skill_level", sa.Text),
    sa.Column("meal_prep_willingness", sa.Text),
    sa.Column("max_meal_prep_time_minutes", sa.Integer),
    sa.Column("budget_per_day_usd", sa.Numeric(6, 2)),
    sa.Column("meals_per_day", sa.Integer),
    sa.Column("macro_targets", JSONB(none_as_null=True)),
    _note("additional_notes"),
    one_of("diet_type", rules_pb2.diet_type),
    one_of("cooking_skill_level", rules_pb2.fitness_level),
    one_of("meal_prep_willingness", rules_pb2.meal_prep_willingness),
    sa.CheckConstraint("(diet_type = 'other') = (diet_type_other IS NOT NULL)", name="diet_type_other"),
    sa.CheckConstraint("char_length(diet_type_other) BETWEEN 1 AND 100", name="diet_type_other_length"),
    sa.CheckConstraint("max_meal_prep_time_minutes BETWEEN 1 AND 1440", name="max_meal_prep_time_minutes"),
    sa.CheckConstraint("budget_per_day_usd >= 0", name="budget_per_day_usd"),
    sa.CheckConstraint("meals_per_day BETWEEN 1 AND 10", name="meals_per_day"),
    sa.CheckConstraint("jsonb_typeof(macro_targets) = 'object'", name="macro_targets"),
)

meal_plans = sa.Table(
    "meal_plans",
    metadata,
    *_one_for_each_person(),
    sa.Column("meals_per_day", sa.Integer, nullable=False),
    *(sa.Column(f"daily_calories_{name}", sa.Integer, nullable=False) for name in ("target", "min", "max")),
    *(sa.Column(f"{name}_grams_target", sa.Numeric(6, 2), nullable=False) for name in ("protein", "carbs", "fats")),
    *(sa.Column(f"{name}_percentage", sa.Numeric(5, 2)) for name in ("protein", "carbs", "fats")),
    _note("plan_rationale"),
    _moment("last_recalculated_at"),
    _note("recalculation_reason"),
    sa.CheckConstraint("meals_per_day BETWEEN 2 AND 8", name="meals_per_day"),
    sa.CheckConstraint(
        "daily_calories_target BETWEEN 1000 AND 5000 AND daily_calories_min >= 0"
        " AND daily_calories_min < daily_calories_target AND daily_calories_target < daily_calories_max",
        name="calories",
    ),
    sa.CheckConstraint("protein_grams_target > 0 AND carbs_grams_target > 0 AND fats_grams_target > 0", name="macros"),
    sa.CheckConstraint(
        "abs(4 * protein_grams_target + 4 * carbs_grams_target + 9 * fats_grams_target - daily_calories_target) <= 50",
        name="macro_energy",
    ),
    sa.CheckConstraint(
        "num_nulls(protein_percentage, carbs_percentage, fats_percentage) = 3"
        " OR (num_nulls(protein_percentage, carbs_percentage, fats_percentage) = 0"
        " AND least(protein_percentage, carbs_percentage, fats_percentage) >= 0"
        " AND abs(protein_percentage + carbs_percentage + fats_percentage - 100) <= 0.1)",
        name="macro_percentages",
    ),
)

meal_schedules = sa.Table(
    "meal_schedules",
    metadata,
    sa.Column("user_id", sa.Uuid, primary_key=True),
    sa.Column("meal_number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("meal_name", sa.Text),
    sa.Column("scheduled_time", sa.Time, nullable=False),
    sa.Column("notification_offset_minutes", sa.Integer, nullable=False, server_default="-15"),
    sa.Column("earliest_time", sa.Time),
    sa.Column("latest_time", sa.Time),
    sa.Column("is_active", sa.Boolean, nullable=False, server_default="true"),
    _moment("created_at", default=True),
    _moment("updated_at", default=True),
    _person(),
    # A person has one plan, so that it is known by whose it is.
    sa.ForeignKeyConstraint(["user_id"], ["meal_plans.user_id"], ondelete="CASCADE"),
    sa.CheckConstraint("meal_number BETWEEN 1 AND 10", name="meal_number"),
    sa.CheckConstraint("char_length(meal_name) BETWEEN 1 AND 50", name="meal_name"),
    sa.CheckConstraint("notification_offset_minutes BETWEEN -120 AND 0", name="notification_offset_minutes"),
    sa.CheckConstraint("earliest_time < scheduled_time", name="earliest_time"),
    sa.CheckConstraint("scheduled_time < latest_time", name="latest_time"),
)

workout_schedules = sa.Table(
    "workout_schedules",
    metadata,
    *_one_for_each_person(),
    *(sa.Column(day, sa.Boolean, nullable=False, server_default="false") for day in WORKOUT_DAYS),
    sa.Column("preferred_workout_time", sa.Time),
    sa.Column("preferred_workout_duration_minutes", sa.Integer),
    sa.Column("workout_reminder_enabled", sa.Boolean, nullable=False, server_default="true"),
    sa.Column("reminder_offset_minutes", sa.Integer, nullable=False, server_default="-30"),
    sa.Column("rest_day_preference", sa.Text),
    one_of("rest_day_preference", rules_pb2.rest_day_preference),
    sa.CheckConstraint("preferred_workout_duration_minutes BETWEEN 15 AND 180", name="duration"),
    sa.CheckConstraint("reminder_offset_minutes BETWEEN -1440 AND 0", name="reminder_offset_minutes"),
    sa.CheckConstraint(" OR ".join(WORKOUT_DAYS), name="at_least_one_workout_day"),
)

hydration_preferences = sa.Table(
    "hydration_preferences",
    metadata,
    *_one_for_each_person(),
    sa.Column("daily_water_target_ml", sa.Integer, nullable=False, server_default="2000"),
    sa.Column("reminder_enabled", sa.Boolean, nullable=False, server_default="true"),
    sa.Column("reminder_frequency_minutes", sa.Integer, nullable=False, server_default="60"),
    sa.Column("reminder_start_time", sa.Time, nullable=False, server_default="08:00"),
    sa.Column("reminder_end_time", sa.Time, nullable=False, server_default="22:00"),
    sa.Column("reminder_tone", sa.Text, nullable=False, server_default="gentle"),
    sa.Column("auto_remind_with_meals", sa.Boolean, nullable=False, server_default="true"),
    one_of("reminder_tone", rules_pb2.reminder_tone),
    sa.CheckConstraint("daily_water_target_ml BETWEEN 500 AND 10000", name="water_target"),
    sa.CheckConstraint("reminder_frequency_minutes BETWEEN 15 AND 480", name="frequency"),
    sa.CheckConstraint("reminder_start_time < reminder_end_time", name="reminder_window"),
)


# The same for everybody; the migration loads them from reference.toml.
def _reference(name: str, *columns: sa.Column[Any]) -> sa.Table:
    return sa.Table(
        name,
        metadata,
        sa.Column("code", sa.Text, primary_key=True),
        sa.Column("display_name", sa.Text, nullable=False),
        *columns,
        sa.Column("sort_order", sa.Integer, nullable=False),
    )


ref_fitness_levels = _reference("ref_fitness_levels", sa.Column("description", sa.Text))
ref_goal_categories = _reference(
    "ref_goal_categories",
    sa.Column("description", sa.Text),
    sa.Column("compatible_with_primary", sa.Boolean, nullable=False, server_default="true"),
    sa.Column("compatible_with_secondary", sa.Boolean, nullable=False, server_default="true"),
    _names("serves"),
    _names("excludes"),
)
ref_diet_types = _reference(
    "ref_diet_types",
    sa.Column("description", sa.Text),
    _names("excludes_food_groups"),
)
ref_equipment_types = _reference(
    "ref_equipment_types",
    sa.Column("category", sa.Text, nullable=False),
    _names("typical_locations"),
)
