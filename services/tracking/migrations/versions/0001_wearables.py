"""What wearables record, partitioned by year, and the answers to repeated requests."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from services.kit.migrate import (
    install_idempotency_keys,
    install_partitions,
    partition_by_year,
    protect,
    uninstall_idempotency_keys,
    uninstall_partitions,
)

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

PARTITIONED = ("wearable_daily", "wearable_sleep", "wearable_activities")


def upgrade() -> None:
    install_idempotency_keys()
    op.create_table(
        "wearable_activities",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("activity_date", sa.Date, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("source_activity_id", sa.Text, nullable=False),
        sa.Column("activity_type", sa.Text, nullable=False),
        sa.Column("activity_name", sa.Text),
        sa.Column("start_time", sa.DateTime(timezone=True)),
        sa.Column("end_time", sa.DateTime(timezone=True)),
        sa.Column("utc_offset_minutes", sa.SmallInteger),
        sa.Column("duration_seconds", sa.Integer),
        sa.Column("distance_m", sa.Numeric(10, 2)),
        sa.Column("calories_kcal", sa.SmallInteger),
        sa.Column("avg_hr_bpm", sa.SmallInteger),
        sa.Column("max_hr_bpm", sa.SmallInteger),
        sa.Column("hr_zone_1_seconds", sa.Integer),
        sa.Column("hr_zone_2_seconds", sa.Integer),
        sa.Column("hr_zone_3_seconds", sa.Integer),
        sa.Column("hr_zone_4_seconds", sa.Integer),
        sa.Column("hr_zone_5_seconds", sa.Integer),
        sa.Column("avg_pace_sec_per_km", sa.Numeric(7, 2)),
        sa.Column("avg_speed_kmh", sa.Numeric(5, 2)),
        sa.Column("elevation_gain_m", sa.Numeric(7, 2)),
        sa.Column("avg_power_watts", sa.SmallInteger),
        sa.Column("normalized_power_watts", sa.SmallInteger),
        sa.Column("training_stress_score", sa.Numeric(6, 1)),
        sa.Column("training_effect_aerobic", sa.Numeric(3, 1)),
        sa.Column("training_effect_anaerobic", sa.Numeric(3, 1)),
        sa.Column("vo2_max_ml_kg_min", sa.Numeric(4, 1)),
        sa.Column("notes", sa.Text),
        sa.Column("raw_data", JSONB),
        sa.Column("source_as_of", sa.DateTime(timezone=True)),
        sa.Column("import_id", sa.Uuid),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "utc_offset_minutes BETWEEN -1080 AND 1080", name=op.f("ck_wearable_activities_utc_offset_minutes")
        ),
        sa.CheckConstraint("avg_hr_bpm BETWEEN 20 AND 300", name=op.f("ck_wearable_activities_avg_hr_bpm")),
        sa.CheckConstraint(
            "avg_pace_sec_per_km BETWEEN 0 AND 99999", name=op.f("ck_wearable_activities_avg_pace_sec_per_km")
        ),
        sa.CheckConstraint("avg_power_watts BETWEEN 0 AND 5000", name=op.f("ck_wearable_activities_avg_power_watts")),
        sa.CheckConstraint("avg_speed_kmh BETWEEN 0 AND 999", name=op.f("ck_wearable_activities_avg_speed_kmh")),
        sa.CheckConstraint("calories_kcal BETWEEN 0 AND 32000", name=op.f("ck_wearable_activities_calories_kcal")),
        sa.CheckConstraint("distance_m BETWEEN 0 AND 10000000", name=op.f("ck_wearable_activities_distance_m")),
        sa.CheckConstraint(
            "duration_seconds BETWEEN 0 AND 2592000", name=op.f("ck_wearable_activities_duration_seconds")
        ),
        sa.CheckConstraint(
            "elevation_gain_m BETWEEN 0 AND 99999", name=op.f("ck_wearable_activities_elevation_gain_m")
        ),
        sa.CheckConstraint("end_time >= start_time", name=op.f("ck_wearable_activities_end_time")),
        sa.CheckConstraint(
            "hr_zone_1_seconds BETWEEN 0 AND 2592000", name=op.f("ck_wearable_activities_hr_zone_1_seconds")
        ),
        sa.CheckConstraint(
            "hr_zone_2_seconds BETWEEN 0 AND 2592000", name=op.f("ck_wearable_activities_hr_zone_2_seconds")
        ),
        sa.CheckConstraint(
            "hr_zone_3_seconds BETWEEN 0 AND 2592000", name=op.f("ck_wearable_activities_hr_zone_3_seconds")
        ),
        sa.CheckConstraint(
            "hr_zone_4_seconds BETWEEN 0 AND 2592000", name=op.f("ck_wearable_activities_hr_zone_4_seconds")
        ),
        sa.CheckConstraint(
            "hr_zone_5_seconds BETWEEN 0 AND 2592000", name=op.f("ck_wearable_activities_hr_zone_5_seconds")
        ),
        sa.CheckConstraint("max_hr_bpm BETWEEN 20 AND 300", name=op.f("ck_wearable_activities_max_hr_bpm")),
        sa.CheckConstraint(
            "normalized_power_watts BETWEEN 0 AND 5000", name=op.f("ck_wearable_activities_normalized_power_watts")
        ),
        sa.CheckConstraint(
            "training_effect_aerobic BETWEEN 0 AND 5", name=op.f("ck_wearable_activities_training_effect_aerobic")
        ),
        sa.CheckConstraint(
            "training_effect_anaerobic BETWEEN 0 AND 5", name=op.f("ck_wearable_activities_training_effect_anaerobic")
        ),
        sa.CheckConstraint(
            "training_stress_score BETWEEN 0 AND 9999", name=op.f("ck_wearable_activities_training_stress_score")
        ),
        sa.CheckConstraint(
            "vo2_max_ml_kg_min BETWEEN 5 AND 100", name=op.f("ck_wearable_activities_vo2_max_ml_kg_min")
        ),
        sa.PrimaryKeyConstraint("user_id", "activity_date", "id", name=op.f("pk_wearable_activities")),
        sa.UniqueConstraint(
            "user_id",
            "source",
            "source_activity_id",
            "activity_date",
            name=op.f("uq_wearable_activities_user_id_source_source_activity_id_activity_date"),
        ),
        postgresql_partition_by="RANGE (activity_date)",
    )
    op.create_index(
        op.f("ix_wearable_activities_user_id_activity_type_activity_date"),
        "wearable_activities",
        ["user_id", "activity_type", "activity_date"],
    )
    op.create_index(op.f("ix_wearable_activities_user_id_id"), "wearable_activities", ["user_id", "id"])
    op.create_table(
        "wearable_daily",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("date", sa.Date, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("resting_hr_bpm", sa.SmallInteger),
        sa.Column("max_hr_bpm", sa.SmallInteger),
        sa.Column("hrv_rmssd_ms", sa.Numeric(6, 2)),
        sa.Column("hrv_sdnn_ms", sa.Numeric(6, 2)),
        sa.Column("steps", sa.Integer),
        sa.Column("active_calories_kcal", sa.SmallInteger),
        sa.Column("total_calories_kcal", sa.SmallInteger),
        sa.Column("active_minutes", sa.SmallInteger),
        sa.Column("moderate_intensity_minutes", sa.SmallInteger),
        sa.Column("vigorous_intensity_minutes", sa.SmallInteger),
        sa.Column("distance_m", sa.Integer),
        sa.Column("floors_climbed", sa.SmallInteger),
        sa.Column("spo2_avg_pct", sa.Numeric(4, 1)),
        sa.Column("spo2_min_pct", sa.Numeric(4, 1)),
        sa.Column("respiratory_rate_avg", sa.Numeric(4, 1)),
        sa.Column("stress_avg", sa.SmallInteger),
        sa.Column("body_battery_start", sa.SmallInteger),
        sa.Column("body_battery_end", sa.SmallInteger),
        sa.Column("readiness_score", sa.SmallInteger),
        sa.Column("recovery_score", sa.SmallInteger),
        sa.Column("skin_temp_deviation_c", sa.Numeric(4, 2)),
        sa.Column("vo2_max_ml_kg_min", sa.Numeric(4, 1)),
        sa.Column("raw_data", JSONB),
        sa.Column("source_as_of", sa.DateTime(timezone=True)),
        sa.Column("import_id", sa.Uuid),
        sa.CheckConstraint(
            "active_calories_kcal BETWEEN 0 AND 30000", name=op.f("ck_wearable_daily_active_calories_kcal")
        ),
        sa.CheckConstraint("active_minutes BETWEEN 0 AND 1500", name=op.f("ck_wearable_daily_active_minutes")),
        sa.CheckConstraint("body_battery_end BETWEEN 0 AND 100", name=op.f("ck_wearable_daily_body_battery_end")),
        sa.CheckConstraint("body_battery_start BETWEEN 0 AND 100", name=op.f("ck_wearable_daily_body_battery_start")),
        sa.CheckConstraint("distance_m BETWEEN 0 AND 1000000", name=op.f("ck_wearable_daily_distance_m")),
        sa.CheckConstraint("floors_climbed BETWEEN 0 AND 10000", name=op.f("ck_wearable_daily_floors_climbed")),
        sa.CheckConstraint("hrv_rmssd_ms BETWEEN 1 AND 300", name=op.f("ck_wearable_daily_hrv_rmssd_ms")),
        sa.CheckConstraint("hrv_sdnn_ms BETWEEN 1 AND 500", name=op.f("ck_wearable_daily_hrv_sdnn_ms")),
        sa.CheckConstraint("max_hr_bpm BETWEEN 20 AND 300", name=op.f("ck_wearable_daily_max_hr_bpm")),
        sa.CheckConstraint(
            "moderate_intensity_minutes BETWEEN 0 AND 1500", name=op.f("ck_wearable_daily_moderate_intensity_minutes")
        ),
        sa.CheckConstraint("readiness_score BETWEEN 0 AND 100", name=op.f("ck_wearable_daily_readiness_score")),
        sa.CheckConstraint("recovery_score BETWEEN 0 AND 100", name=op.f("ck_wearable_daily_recovery_score")),
        sa.CheckConstraint(
            "respiratory_rate_avg BETWEEN 1 AND 100", name=op.f("ck_wearable_daily_respiratory_rate_avg")
        ),
        sa.CheckConstraint("resting_hr_bpm BETWEEN 20 AND 300", name=op.f("ck_wearable_daily_resting_hr_bpm")),
        sa.CheckConstraint(
            "skin_temp_deviation_c BETWEEN -20 AND 20", name=op.f("ck_wearable_daily_skin_temp_deviation_c")
        ),
        sa.CheckConstraint("spo2_avg_pct BETWEEN 70 AND 100", name=op.f("ck_wearable_daily_spo2_avg_pct")),
        sa.CheckConstraint("spo2_min_pct BETWEEN 50 AND 100", name=op.f("ck_wearable_daily_spo2_min_pct")),
        sa.CheckConstraint("steps BETWEEN 0 AND 100000", name=op.f("ck_wearable_daily_steps")),
        sa.CheckConstraint("stress_avg BETWEEN 0 AND 100", name=op.f("ck_wearable_daily_stress_avg")),
        sa.CheckConstraint(
            "total_calories_kcal BETWEEN 0 AND 32000", name=op.f("ck_wearable_daily_total_calories_kcal")
        ),
        sa.CheckConstraint(
            "vigorous_intensity_minutes BETWEEN 0 AND 1500", name=op.f("ck_wearable_daily_vigorous_intensity_minutes")
        ),
        sa.CheckConstraint("vo2_max_ml_kg_min BETWEEN 5 AND 100", name=op.f("ck_wearable_daily_vo2_max_ml_kg_min")),
        sa.PrimaryKeyConstraint("user_id", "id", "date", name=op.f("pk_wearable_daily")),
        sa.UniqueConstraint("user_id", "date", "source", name=op.f("uq_wearable_daily_user_id_date_source")),
        postgresql_partition_by="RANGE (date)",
    )
    op.create_index(op.f("ix_wearable_daily_user_id_source_date"), "wearable_daily", ["user_id", "source", "date"])
    op.create_table(
        "wearable_sleep",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("sleep_date", sa.Date, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("sleep_start", sa.DateTime(timezone=True)),
        sa.Column("sleep_end", sa.DateTime(timezone=True)),
        sa.Column("utc_offset_minutes", sa.SmallInteger),
        sa.Column("total_sleep_minutes", sa.SmallInteger),
        sa.Column("rem_minutes", sa.SmallInteger),
        sa.Column("deep_minutes", sa.SmallInteger),
        sa.Column("light_minutes", sa.SmallInteger),
        sa.Column("awake_minutes", sa.SmallInteger),
        sa.Column("sleep_latency_minutes", sa.SmallInteger),
        sa.Column("sleep_efficiency_pct", sa.Numeric(4, 1)),
        sa.Column("sleep_score", sa.SmallInteger),
        sa.Column("interruptions", sa.SmallInteger),
        sa.Column("avg_hr_bpm", sa.SmallInteger),
        sa.Column("min_hr_bpm", sa.SmallInteger),
        sa.Column("avg_hrv_ms", sa.Numeric(6, 2)),
        sa.Column("avg_hrv_sdnn_ms", sa.Numeric(6, 2)),
        sa.Column("avg_respiratory_rate", sa.Numeric(4, 1)),
        sa.Column("avg_spo2_pct", sa.Numeric(4, 1)),
        sa.Column("avg_skin_temp_deviation_c", sa.Numeric(4, 2)),
        sa.Column("hypnogram", JSONB),
        sa.Column("raw_data", JSONB),
        sa.Column("source_as_of", sa.DateTime(timezone=True)),
        sa.Column("import_id", sa.Uuid),
        sa.CheckConstraint(
            "utc_offset_minutes BETWEEN -1080 AND 1080", name=op.f("ck_wearable_sleep_utc_offset_minutes")
        ),
        sa.CheckConstraint("avg_hr_bpm BETWEEN 20 AND 300", name=op.f("ck_wearable_sleep_avg_hr_bpm")),
        sa.CheckConstraint("avg_hrv_ms BETWEEN 1 AND 300", name=op.f("ck_wearable_sleep_avg_hrv_ms")),
        sa.CheckConstraint("avg_hrv_sdnn_ms BETWEEN 1 AND 500", name=op.f("ck_wearable_sleep_avg_hrv_sdnn_ms")),
        sa.CheckConstraint(
            "avg_respiratory_rate BETWEEN 1 AND 100", name=op.f("ck_wearable_sleep_avg_respiratory_rate")
        ),
        sa.CheckConstraint(
            "avg_skin_temp_deviation_c BETWEEN -20 AND 20", name=op.f("ck_wearable_sleep_avg_skin_temp_deviation_c")
        ),
        sa.CheckConstraint("avg_spo2_pct BETWEEN 50 AND 100", name=op.f("ck_wearable_sleep_avg_spo2_pct")),
        sa.CheckConstraint("awake_minutes BETWEEN 0 AND 2880", name=op.f("ck_wearable_sleep_awake_minutes")),
        sa.CheckConstraint("deep_minutes BETWEEN 0 AND 2880", name=op.f("ck_wearable_sleep_deep_minutes")),
        sa.CheckConstraint("interruptions BETWEEN 0 AND 1000", name=op.f("ck_wearable_sleep_interruptions")),
        sa.CheckConstraint("light_minutes BETWEEN 0 AND 2880", name=op.f("ck_wearable_sleep_light_minutes")),
        sa.CheckConstraint("min_hr_bpm BETWEEN 20 AND 300", name=op.f("ck_wearable_sleep_min_hr_bpm")),
        sa.CheckConstraint("rem_minutes BETWEEN 0 AND 2880", name=op.f("ck_wearable_sleep_rem_minutes")),
        sa.CheckConstraint(
            "sleep_efficiency_pct BETWEEN 0 AND 100", name=op.f("ck_wearable_sleep_sleep_efficiency_pct")
        ),
        sa.CheckConstraint("sleep_end >= sleep_start", name=op.f("ck_wearable_sleep_sleep_end")),
        sa.CheckConstraint(
            "sleep_latency_minutes BETWEEN 0 AND 2880", name=op.f("ck_wearable_sleep_sleep_latency_minutes")
        ),
        sa.CheckConstraint("sleep_score BETWEEN 0 AND 100", name=op.f("ck_wearable_sleep_sleep_score")),
        sa.CheckConstraint(
            "total_sleep_minutes BETWEEN 0 AND 2880", name=op.f("ck_wearable_sleep_total_sleep_minutes")
        ),
        sa.PrimaryKeyConstraint("user_id", "id", "sleep_date", name=op.f("pk_wearable_sleep")),
        sa.UniqueConstraint(
            "user_id", "sleep_date", "source", name=op.f("uq_wearable_sleep_user_id_sleep_date_source")
        ),
        postgresql_partition_by="RANGE (sleep_date)",
    )

    install_partitions()
    for table in PARTITIONED:
        protect(table)
        partition_by_year(table)


def downgrade() -> None:
    for table in PARTITIONED:
        op.drop_table(table)
    uninstall_partitions()
    uninstall_idempotency_keys()
