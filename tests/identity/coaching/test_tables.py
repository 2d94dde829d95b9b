"""What the tables of the coaching profile refuse past the API: each rule that SQL can say is broken once."""

import re

import psycopg
import pytest

from tests.identity.coaching.coached import Coached, sending

VERSIONS = "FROM user_profile_versions"
COPY = "INSERT INTO user_profile_versions (id, user_id, version, profile_snapshot, changed_by, valid_from)"
ENDED = "UPDATE user_profile_versions SET valid_until = valid_from + interval '1 s'"
SQL = [
    ("fitness_level", "UPDATE user_profiles SET fitness_level = 'expert'"),
    ("primary_goal", "UPDATE user_profiles SET primary_goal = 'fame'"),
    ("secondary_goal", "UPDATE user_profiles SET secondary_goal = 'fame'"),
    ("other_secondary_goal", "UPDATE user_profiles SET secondary_goal = primary_goal"),
    ("compatible_goals", "UPDATE user_profiles SET secondary_goal = 'muscle_gain'"),
    ("energy_level", "UPDATE user_profiles SET energy_level = 'none'"),
    ("stress_level", "UPDATE user_profiles SET stress_level = 'extreme'"),
    ("sleep_quality", "UPDATE user_profiles SET sleep_quality = 'bad'"),
    ("last_modified_by", "UPDATE user_profiles SET last_modified_by = 'nobody'"),
    ("locked_at", "UPDATE user_profiles SET is_locked = false"),
    ("version", "UPDATE user_profiles SET previous_version = version"),
    ("goal_type", "UPDATE fitness_goals SET goal_type = 'third'"),
    ("goal_category", "UPDATE fitness_goals SET goal_category = 'fame'"),
    ("pace_preference", "UPDATE fitness_goals SET pace_preference = 'warp'"),
    ("status", "UPDATE fitness_goals SET status = 'lost'"),
    ("completed_at", "UPDATE fitness_goals SET status = 'completed'"),
    ("target_weight_kg", "UPDATE fitness_goals SET target_weight_kg = 19.99"),
    ("target_body_fat_percentage", "UPDATE fitness_goals SET target_body_fat_percentage = 50.01"),
    ("target_muscle_gain_kg", "UPDATE fitness_goals SET target_muscle_gain_kg = 0"),
    ("target_timeline_weeks", "UPDATE fitness_goals SET target_timeline_weeks = 0"),
    ("priority", "UPDATE fitness_goals SET priority = 0"),
    ("constraint_type", "UPDATE physical_constraints SET constraint_type = 'mood'"),
    ("constraint_category", "UPDATE physical_constraints SET constraint_category = repeat('x', 101)"),
    ("severity", "UPDATE physical_constraints SET severity = 'awful' WHERE constraint_type = 'injury'"),
    ("severity_of_hindrances", "UPDATE physical_constraints SET severity = 'mild'"),
    ("workout_location", "UPDATE physical_constraints SET workout_location = 'moon'"),
    ("max_workout_duration_minutes", "UPDATE physical_constraints SET max_workout_duration_minutes = 181"),
    ("available_time_slots", "UPDATE physical_constraints SET available_time_slots = '{}'"),
    ("resolved_at", "UPDATE physical_constraints SET is_active = false"),
    ("available_equipment", "UPDATE physical_constraints SET available_equipment = '{spaceship}'"),
    ("diet_type", "UPDATE dietary_preferences SET diet_type = 'air'"),
    ("diet_type_other", "UPDATE dietary_preferences SET diet_type = 'other'"),
    ("diet_type_other_length", "UPDATE dietary_preferences SET diet_type = 'other', diet_type_other = ''"),
    ("cooking_skill_level", "UPDATE dietary_preferences SET cooking_skill_level = 'chef'"),
    ("meal_prep_willingness", "UPDATE dietary_preferences SET meal_prep_willingness = 'all'"),
    ("max_meal_prep_time_minutes", "UPDATE dietary_preferences SET max_meal_prep_time_minutes = 0"),
    ("budget_per_day_usd", "UPDATE dietary_preferences SET budget_per_day_usd = -1"),
    ("meals_per_day", "UPDATE dietary_preferences SET meals_per_day = 11"),
    ("macro_targets", "UPDATE dietary_preferences SET macro_targets = '[]'"),
    ("meals_per_day", "UPDATE meal_plans SET meals_per_day = 9"),
    ("calories", "UPDATE meal_plans SET daily_calories_min = daily_calories_target"),
    ("calories", "UPDATE meal_plans SET daily_calories_max = daily_calories_target"),
    ("macros", "UPDATE meal_plans SET fats_grams_target = 0, carbs_grams_target = 350"),
    ("macro_energy", "UPDATE meal_plans SET daily_calories_target = 2051"),
    ("macro_percentages", "UPDATE meal_plans SET protein_percentage = 30.11"),
    ("macro_percentages", "UPDATE meal_plans SET protein_percentage = NULL"),
    ("meal_number", "UPDATE meal_schedules SET meal_number = 11 WHERE meal_number = 1"),
    ("meal_name", "UPDATE meal_schedules SET meal_name = ''"),
    ("notification_offset_minutes", "UPDATE meal_schedules SET notification_offset_minutes = -121"),
    ("earliest_time", "UPDATE meal_schedules SET earliest_time = scheduled_time"),
    ("latest_time", "UPDATE meal_schedules SET latest_time = scheduled_time"),
    ("meals_apart", "UPDATE meal_schedules SET latest_time = '12:31' WHERE meal_number = 1"),
    ("meals_apart", "UPDATE meal_schedules SET scheduled_time = '12:30' WHERE meal_number = 3"),
    ("duration", "UPDATE workout_schedules SET preferred_workout_duration_minutes = 14"),
    ("rest_day_preference", "UPDATE workout_schedules SET rest_day_preference = 'never'"),
    ("reminder_offset_minutes", "UPDATE workout_schedules SET reminder_offset_minutes = 1"),
    ("at_least_one_workout_day", "UPDATE workout_schedules SET monday_workout = false, thursday_workout = false"),
    ("water_target", "UPDATE hydration_preferences SET daily_water_target_ml = 10001"),
    ("frequency", "UPDATE hydration_preferences SET reminder_frequency_minutes = 481"),
    ("reminder_tone", "UPDATE hydration_preferences SET reminder_tone = 'shrill'"),
    ("reminder_window", "UPDATE hydration_preferences SET reminder_end_time = reminder_start_time"),
    ("one_version_at_a_time", f"{COPY} SELECT id, user_id, version + 1, '', 'user', now() {VERSIONS}"),
    ("next_version", f"{COPY} SELECT id, user_id, version + 2, '', 'user', now() {VERSIONS}"),
    ("valid_until", "UPDATE user_profile_versions SET valid_until = valid_from"),
    ("changed_by", f"{ENDED}; {COPY} SELECT id, user_id, version + 1, '', 'nobody', valid_until {VERSIONS}"),
    ("one_version_at_a_time", f"{ENDED}; {COPY} SELECT id, user_id, version + 1, '', 'user', valid_from {VERSIONS}"),
]


async def test_the_tables_hold_the_rules_too(ada: Coached) -> None:
    """As the role that the service has, for it is the last line there."""
    with psycopg.connect(ada.running.database.app_url) as app:
        for rule, statement in SQL:
            app.execute("SELECT set_config('app.subject_id', %s, true)", [ada.id])
            app.execute("SET CONSTRAINTS ALL IMMEDIATE")
            with pytest.raises(psycopg.errors.CheckViolation) as refused:
                app.execute(statement.encode())
            named = refused.value.diag.constraint_name or ""
            assert named == rule or named.endswith(f"_{rule}"), statement
            app.rollback()


async def test_no_check_of_the_tables_is_left_untried(ada: Coached) -> None:
    tried = {(table, rule) for rule, sql in SQL for table in re.findall(r"(?:UPDATE|INTO) (\w+)", sql)}
    checks = "SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = ANY (%s::text[]::regclass[])"
    found = {name for (name,) in ada.sql(checks, sorted({table for table, _ in tried}))}
    # That a version's number is the next one the trigger says first.
    assert found - {f"ck_{table}_{rule}" for table, rule in tried} == {"ck_user_profile_versions_version"}


async def test_there_is_one_active_primary_goal_in_the_table_too(ada: Coached) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation, match="uq_fitness_goals_active_primary"):
        ada.sql("UPDATE fitness_goals SET goal_type = 'primary'")


async def test_a_version_does_not_change_and_does_not_go(ada: Coached) -> None:
    await ada.change(sending(stress_level="low"))
    before = await ada.versions()
    changes = [
        "UPDATE user_profile_versions SET valid_until = now() WHERE version = 1",
        "UPDATE user_profile_versions SET valid_until = NULL WHERE version = 1",
        "UPDATE user_profile_versions SET profile_snapshot = ''",
        "UPDATE user_profile_versions SET valid_from = valid_from - interval '1 s'",
        "UPDATE user_profile_versions SET changed_by = 'admin'",
        "DELETE FROM user_profile_versions",
    ]
    with psycopg.connect(ada.running.database.app_url) as app:
        for statement in changes:
            app.execute("SELECT set_config('app.subject_id', %s, true)", [ada.id])
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(statement.encode())
            app.rollback()
    # Nor for the owner of the table, but for taking it all away.
    for statement in changes[:5]:
        with pytest.raises(psycopg.Error):
            ada.sql(statement)
    assert await ada.versions() == before
