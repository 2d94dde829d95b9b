"""Coaching profiles with their parts and their versions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from services.kit.audit_schema import audit_table
from services.kit.migrate import protect
from services.kit.roles import APP_GROUP

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

VERSIONS = "user_profile_versions"
PARTS = (
    "fitness_goals",
    "physical_constraints",
    "dietary_preferences",
    "meal_plans",
    "meal_schedules",
    "workout_schedules",
    "hydration_preferences",
)


def upgrade() -> None:
    op.create_table(
        "user_profile_versions",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("version", sa.Integer, autoincrement=False, nullable=False),
        sa.Column(
            "profile_snapshot",
            sa.LargeBinary,
            nullable=False,
            comment="the profile as JSON of the API, encrypted as a whole, see kit/vault.py",
        ),
        sa.Column("changed_fields", ARRAY(sa.Text), server_default="{}", nullable=False),
        sa.Column("change_reason", sa.LargeBinary),
        sa.Column("changed_by", sa.Text, nullable=False),
        sa.Column("changed_by_id", sa.Uuid, comment="a delegate's or an administrator's account"),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint(
            "changed_by IN ('user', 'delegate', 'admin', 'system')", name=op.f("ck_user_profile_versions_changed_by")
        ),
        sa.CheckConstraint("valid_until > valid_from", name=op.f("ck_user_profile_versions_valid_until")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_user_profile_versions_version")),
        sa.ForeignKeyConstraint(
            ["changed_by_id"],
            ["users.id"],
            name=op.f("fk_user_profile_versions_changed_by_id_users"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_user_profile_versions_user_id_users"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("user_id", "version", name=op.f("pk_user_profile_versions")),
        sa.UniqueConstraint("user_id", "valid_from", name=op.f("uq_user_profile_versions_user_id_valid_from")),
    )
    op.create_index(
        op.f("ix_user_profile_versions_changed_by_id"),
        "user_profile_versions",
        ["changed_by_id"],
        unique=False,
        postgresql_where=sa.text("changed_by_id IS NOT NULL"),
    )
    op.create_index(
        "uq_user_profile_versions_current",
        "user_profile_versions",
        ["user_id"],
        unique=True,
        postgresql_where=sa.text("valid_until IS NULL"),
    )
    op.create_table(
        "user_profiles",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("previous_version", sa.Integer),
        sa.Column("fitness_level", sa.Text, nullable=False),
        sa.Column("primary_goal", sa.Text, nullable=False),
        sa.Column("secondary_goal", sa.Text),
        sa.Column("energy_level", sa.Text, nullable=False),
        sa.Column("stress_level", sa.Text, nullable=False),
        sa.Column("sleep_quality", sa.Text, nullable=False),
        sa.Column("last_modified_by", sa.Text, server_default="user", nullable=False),
        sa.Column("modification_reason", sa.LargeBinary),
        sa.Column("is_locked", sa.Boolean, server_default="true", nullable=False),
        sa.Column("locked_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "NOT (primary_goal = 'fat_loss' AND secondary_goal IN ('maintenance', 'muscle_gain', 'recomp')) AND"
            " NOT (primary_goal = 'muscle_gain' AND secondary_goal IN ('fat_loss', 'maintenance', 'recomp'))",
            name=op.f("ck_user_profiles_compatible_goals"),
        ),
        sa.CheckConstraint("energy_level IN ('low', 'medium', 'high')", name=op.f("ck_user_profiles_energy_level")),
        sa.CheckConstraint(
            "fitness_level IN ('beginner', 'intermediate', 'advanced')", name=op.f("ck_user_profiles_fitness_level")
        ),
        sa.CheckConstraint(
            "last_modified_by IN ('user', 'delegate', 'admin', 'system')",
            name=op.f("ck_user_profiles_last_modified_by"),
        ),
        sa.CheckConstraint(
            "primary_goal IN ('fat_loss', 'muscle_gain', 'general_fitness')", name=op.f("ck_user_profiles_primary_goal")
        ),
        sa.CheckConstraint(
            "secondary_goal IN ('fat_loss', 'muscle_gain', 'general_fitness', 'strength', 'endurance',"
            " 'flexibility', 'athletic_performance', 'recomp', 'maintenance')",
            name=op.f("ck_user_profiles_secondary_goal"),
        ),
        sa.CheckConstraint(
            "sleep_quality IN ('poor', 'fair', 'good', 'excellent')", name=op.f("ck_user_profiles_sleep_quality")
        ),
        sa.CheckConstraint("stress_level IN ('low', 'medium', 'high')", name=op.f("ck_user_profiles_stress_level")),
        sa.CheckConstraint("is_locked = (locked_at IS NOT NULL)", name=op.f("ck_user_profiles_locked_at")),
        sa.CheckConstraint("secondary_goal <> primary_goal", name=op.f("ck_user_profiles_other_secondary_goal")),
        sa.CheckConstraint("version >= 1 AND previous_version = version - 1", name=op.f("ck_user_profiles_version")),
        sa.ForeignKeyConstraint(
            ["user_id", "version"],
            ["user_profile_versions.user_id", "user_profile_versions.version"],
            name=op.f("fk_user_profiles_user_id_version_user_profile_versions"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_user_profiles_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_user_profiles")),
    )
    op.create_table(
        "fitness_goals",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("goal_type", sa.Text, nullable=False),
        sa.Column("goal_category", sa.Text, nullable=False),
        sa.Column("target_weight_kg", sa.Numeric(precision=5, scale=2)),
        sa.Column("target_body_fat_percentage", sa.Numeric(precision=4, scale=2)),
        sa.Column("target_muscle_gain_kg", sa.Numeric(precision=4, scale=2)),
        sa.Column("target_timeline_weeks", sa.Integer),
        sa.Column("target_date", sa.Date),
        sa.Column("pace_preference", sa.Text, server_default="moderate", nullable=False),
        sa.Column("priority", sa.Integer, server_default="1", nullable=False),
        sa.Column("status", sa.Text, server_default="active", nullable=False),
        sa.Column("user_explanation", sa.LargeBinary),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "(status = 'completed') = (completed_at IS NOT NULL)", name=op.f("ck_fitness_goals_completed_at")
        ),
        sa.CheckConstraint(
            "goal_category IN ('fat_loss', 'muscle_gain', 'general_fitness', 'strength', 'endurance',"
            " 'flexibility', 'athletic_performance', 'recomp', 'maintenance')",
            name=op.f("ck_fitness_goals_goal_category"),
        ),
        sa.CheckConstraint("goal_type IN ('primary', 'secondary')", name=op.f("ck_fitness_goals_goal_type")),
        sa.CheckConstraint(
            "pace_preference IN ('slow', 'moderate', 'aggressive')", name=op.f("ck_fitness_goals_pace_preference")
        ),
        sa.CheckConstraint(
            "status IN ('active', 'completed', 'paused', 'abandoned')", name=op.f("ck_fitness_goals_status")
        ),
        sa.CheckConstraint("priority BETWEEN 1 AND 100", name=op.f("ck_fitness_goals_priority")),
        sa.CheckConstraint(
            "target_body_fat_percentage BETWEEN 3 AND 50", name=op.f("ck_fitness_goals_target_body_fat_percentage")
        ),
        sa.CheckConstraint("target_muscle_gain_kg > 0", name=op.f("ck_fitness_goals_target_muscle_gain_kg")),
        sa.CheckConstraint(
            "target_timeline_weeks BETWEEN 1 AND 520", name=op.f("ck_fitness_goals_target_timeline_weeks")
        ),
        sa.CheckConstraint(
            "target_weight_kg >= 20 AND target_weight_kg < 500", name=op.f("ck_fitness_goals_target_weight_kg")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_fitness_goals_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_fitness_goals")),
    )
    op.create_index(
        "uq_fitness_goals_active_primary",
        "fitness_goals",
        ["user_id"],
        unique=True,
        postgresql_where=sa.text("goal_type = 'primary' AND status = 'active'"),
    )
    op.create_table(
        "physical_constraints",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("constraint_type", sa.Text, nullable=False),
        sa.Column("constraint_category", sa.Text),
        sa.Column("description", sa.LargeBinary),
        sa.Column("severity", sa.Text),
        sa.Column("workout_location", sa.Text),
        sa.Column("available_equipment", ARRAY(sa.Text), server_default="{}", nullable=False),
        sa.Column("max_workout_duration_minutes", sa.Integer),
        sa.Column("available_time_slots", JSONB, server_default="[]", nullable=False),
        sa.Column("is_active", sa.Boolean, server_default="true", nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "constraint_type IN ('injury', 'limitation', 'equipment', 'location_preference', 'time_constraint')",
            name=op.f("ck_physical_constraints_constraint_type"),
        ),
        sa.CheckConstraint(
            "jsonb_typeof(available_time_slots) = 'array'", name=op.f("ck_physical_constraints_available_time_slots")
        ),
        sa.CheckConstraint("severity IN ('mild', 'moderate', 'severe')", name=op.f("ck_physical_constraints_severity")),
        sa.CheckConstraint(
            "severity IS NULL OR constraint_type IN ('injury', 'limitation')",
            name=op.f("ck_physical_constraints_severity_of_hindrances"),
        ),
        sa.CheckConstraint(
            "workout_location IN ('home', 'gym', 'outdoor', 'hybrid')",
            name=op.f("ck_physical_constraints_workout_location"),
        ),
        sa.CheckConstraint(
            "char_length(constraint_category) <= 100", name=op.f("ck_physical_constraints_constraint_category")
        ),
        sa.CheckConstraint("is_active = (resolved_at IS NULL)", name=op.f("ck_physical_constraints_resolved_at")),
        sa.CheckConstraint(
            "max_workout_duration_minutes BETWEEN 15 AND 180",
            name=op.f("ck_physical_constraints_max_workout_duration_minutes"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_physical_constraints_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_physical_constraints")),
    )
    op.create_table(
        "dietary_preferences",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("diet_type", sa.Text, nullable=False),
        sa.Column("diet_type_other", sa.Text),
        sa.Column("allergies", ARRAY(sa.Text), server_default="{}", nullable=False),
        sa.Column("intolerances", ARRAY(sa.Text), server_default="{}", nullable=False),
        sa.Column("dislikes", ARRAY(sa.Text), server_default="{}", nullable=False),
        sa.Column("religious_restrictions", ARRAY(sa.Text), server_default="{}", nullable=False),
        sa.Column("preferred_cuisines", ARRAY(sa.Text), server_default="{}", nullable=False),
        sa.Column("cooking_skill_level", sa.Text),
        sa.Column("meal_prep_willingness", sa.Text),
        sa.Column("max_meal_prep_time_minutes", sa.Integer),
        sa.Column("budget_per_day_usd", sa.Numeric(precision=6, scale=2)),
        sa.Column("meals_per_day", sa.Integer),
        sa.Column("macro_targets", JSONB),
        sa.Column("additional_notes", sa.LargeBinary),
        sa.CheckConstraint(
            "(diet_type = 'other') = (diet_type_other IS NOT NULL)", name=op.f("ck_dietary_preferences_diet_type_other")
        ),
        sa.CheckConstraint(
            "cooking_skill_level IN ('beginner', 'intermediate', 'advanced')",
            name=op.f("ck_dietary_preferences_cooking_skill_level"),
        ),
        sa.CheckConstraint(
            "diet_type IN ('none', 'omnivore', 'vegetarian', 'vegan', 'pescatarian', 'keto', 'paleo',"
            " 'mediterranean', 'halal', 'kosher', 'other')",
            name=op.f("ck_dietary_preferences_diet_type"),
        ),
        sa.CheckConstraint("jsonb_typeof(macro_targets) = 'object'", name=op.f("ck_dietary_preferences_macro_targets")),
        sa.CheckConstraint(
            "meal_prep_willingness IN ('none', 'minimal', 'moderate', 'extensive')",
            name=op.f("ck_dietary_preferences_meal_prep_willingness"),
        ),
        sa.CheckConstraint("budget_per_day_usd >= 0", name=op.f("ck_dietary_preferences_budget_per_day_usd")),
        sa.CheckConstraint(
            "char_length(diet_type_other) BETWEEN 1 AND 100", name=op.f("ck_dietary_preferences_diet_type_other_length")
        ),
        sa.CheckConstraint(
            "max_meal_prep_time_minutes BETWEEN 1 AND 1440",
            name=op.f("ck_dietary_preferences_max_meal_prep_time_minutes"),
        ),
        sa.CheckConstraint("meals_per_day BETWEEN 1 AND 10", name=op.f("ck_dietary_preferences_meals_per_day")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_dietary_preferences_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_dietary_preferences")),
    )
    op.create_table(
        "meal_plans",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("meals_per_day", sa.Integer, nullable=False),
        sa.Column("daily_calories_target", sa.Integer, nullable=False),
        sa.Column("daily_calories_min", sa.Integer, nullable=False),
        sa.Column("daily_calories_max", sa.Integer, nullable=False),
        sa.Column("protein_grams_target", sa.Numeric(precision=6, scale=2), nullable=False),
        sa.Column("carbs_grams_target", sa.Numeric(precision=6, scale=2), nullable=False),
        sa.Column("fats_grams_target", sa.Numeric(precision=6, scale=2), nullable=False),
        sa.Column("protein_percentage", sa.Numeric(precision=5, scale=2)),
        sa.Column("carbs_percentage", sa.Numeric(precision=5, scale=2)),
        sa.Column("fats_percentage", sa.Numeric(precision=5, scale=2)),
        sa.Column("plan_rationale", sa.LargeBinary),
        sa.Column("last_recalculated_at", sa.DateTime(timezone=True)),
        sa.Column("recalculation_reason", sa.LargeBinary),
        sa.CheckConstraint(
            "abs(4 * protein_grams_target + 4 * carbs_grams_target + 9 * fats_grams_target -"
            " daily_calories_target) <= 50",
            name=op.f("ck_meal_plans_macro_energy"),
        ),
        sa.CheckConstraint(
            "daily_calories_target BETWEEN 1000 AND 5000 AND daily_calories_min >= 0 AND daily_calories_min <"
            " daily_calories_target AND daily_calories_target < daily_calories_max",
            name=op.f("ck_meal_plans_calories"),
        ),
        sa.CheckConstraint("meals_per_day BETWEEN 2 AND 8", name=op.f("ck_meal_plans_meals_per_day")),
        sa.CheckConstraint(
            "num_nulls(protein_percentage, carbs_percentage, fats_percentage) = 3 OR"
            " (num_nulls(protein_percentage, carbs_percentage, fats_percentage) = 0 AND"
            " least(protein_percentage, carbs_percentage, fats_percentage) >= 0 AND abs(protein_percentage +"
            " carbs_percentage + fats_percentage - 100) <= 0.1)",
            name=op.f("ck_meal_plans_macro_percentages"),
        ),
        sa.CheckConstraint(
            "protein_grams_target > 0 AND carbs_grams_target > 0 AND fats_grams_target > 0",
            name=op.f("ck_meal_plans_macros"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_meal_plans_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_meal_plans")),
    )
    op.create_table(
        "meal_schedules",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("meal_number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("meal_name", sa.Text),
        sa.Column("scheduled_time", sa.Time, nullable=False),
        sa.Column("notification_offset_minutes", sa.Integer, server_default="-15", nullable=False),
        sa.Column("earliest_time", sa.Time),
        sa.Column("latest_time", sa.Time),
        sa.Column("is_active", sa.Boolean, server_default="true", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("char_length(meal_name) BETWEEN 1 AND 50", name=op.f("ck_meal_schedules_meal_name")),
        sa.CheckConstraint("earliest_time < scheduled_time", name=op.f("ck_meal_schedules_earliest_time")),
        sa.CheckConstraint("meal_number BETWEEN 1 AND 10", name=op.f("ck_meal_schedules_meal_number")),
        sa.CheckConstraint(
            "notification_offset_minutes BETWEEN -120 AND 0", name=op.f("ck_meal_schedules_notification_offset_minutes")
        ),
        sa.CheckConstraint("scheduled_time < latest_time", name=op.f("ck_meal_schedules_latest_time")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["meal_plans.user_id"], name=op.f("fk_meal_schedules_user_id_meal_plans"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_meal_schedules_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "meal_number", name=op.f("pk_meal_schedules")),
    )
    op.create_table(
        "workout_schedules",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("monday_workout", sa.Boolean, server_default="false", nullable=False),
        sa.Column("tuesday_workout", sa.Boolean, server_default="false", nullable=False),
        sa.Column("wednesday_workout", sa.Boolean, server_default="false", nullable=False),
        sa.Column("thursday_workout", sa.Boolean, server_default="false", nullable=False),
        sa.Column("friday_workout", sa.Boolean, server_default="false", nullable=False),
        sa.Column("saturday_workout", sa.Boolean, server_default="false", nullable=False),
        sa.Column("sunday_workout", sa.Boolean, server_default="false", nullable=False),
        sa.Column("preferred_workout_time", sa.Time),
        sa.Column("preferred_workout_duration_minutes", sa.Integer),
        sa.Column("workout_reminder_enabled", sa.Boolean, server_default="true", nullable=False),
        sa.Column("reminder_offset_minutes", sa.Integer, server_default="-30", nullable=False),
        sa.Column("rest_day_preference", sa.Text),
        sa.CheckConstraint(
            "rest_day_preference IN ('fixed', 'flexible', 'auto')",
            name=op.f("ck_workout_schedules_rest_day_preference"),
        ),
        sa.CheckConstraint(
            "monday_workout OR tuesday_workout OR wednesday_workout OR thursday_workout OR friday_workout OR"
            " saturday_workout OR sunday_workout",
            name=op.f("ck_workout_schedules_at_least_one_workout_day"),
        ),
        sa.CheckConstraint(
            "preferred_workout_duration_minutes BETWEEN 15 AND 180", name=op.f("ck_workout_schedules_duration")
        ),
        sa.CheckConstraint(
            "reminder_offset_minutes BETWEEN -1440 AND 0", name=op.f("ck_workout_schedules_reminder_offset_minutes")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_workout_schedules_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_workout_schedules")),
    )
    op.create_table(
        "hydration_preferences",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("daily_water_target_ml", sa.Integer, server_default="2000", nullable=False),
        sa.Column("reminder_enabled", sa.Boolean, server_default="true", nullable=False),
        sa.Column("reminder_frequency_minutes", sa.Integer, server_default="60", nullable=False),
        sa.Column("reminder_start_time", sa.Time, server_default="08:00", nullable=False),
        sa.Column("reminder_end_time", sa.Time, server_default="22:00", nullable=False),
        sa.Column("reminder_tone", sa.Text, server_default="gentle", nullable=False),
        sa.Column("auto_remind_with_meals", sa.Boolean, server_default="true", nullable=False),
        sa.CheckConstraint(
            "reminder_tone IN ('gentle', 'motivational', 'minimal')",
            name=op.f("ck_hydration_preferences_reminder_tone"),
        ),
        sa.CheckConstraint(
            "daily_water_target_ml BETWEEN 500 AND 10000", name=op.f("ck_hydration_preferences_water_target")
        ),
        sa.CheckConstraint(
            "reminder_frequency_minutes BETWEEN 15 AND 480", name=op.f("ck_hydration_preferences_frequency")
        ),
        sa.CheckConstraint(
            "reminder_start_time < reminder_end_time", name=op.f("ck_hydration_preferences_reminder_window")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_hydration_preferences_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_hydration_preferences")),
    )

    protect(VERSIONS, verbs="SELECT, INSERT")
    op.execute(f"GRANT UPDATE (valid_until) ON {VERSIONS} TO {APP_GROUP}")
    audit_table(VERSIONS, secret=("profile_snapshot",))
    for table in ("user_profiles", *PARTS):
        protect(table)
        audit_table(table)


def downgrade() -> None:
    for table in (*reversed(PARTS), "user_profiles", VERSIONS):
        op.drop_table(table)
