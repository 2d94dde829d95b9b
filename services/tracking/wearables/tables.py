"""What wearables record, partitioned by year.

Ranges are the proto's; the CHECKs made from them are the last line behind its
validation.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from services.kit.checks import ranges
from services.kit.database import owned
from services.tracking.base import metadata
from vitalis.tracking.v1 import wearables_pb2 as pb


def columns(kind: sa.types.TypeEngine[Any] | type[sa.types.TypeEngine[Any]], *names: str) -> Sequence[sa.Column[Any]]:
    return [sa.Column(name, kind) for name in names]


def provenance() -> Sequence[sa.Column[Any]]:
    """What the source said, as of when, and the import that wrote the row last."""
    return (
        sa.Column("raw_data", JSONB),
        sa.Column("source_as_of", sa.DateTime(timezone=True)),
        sa.Column("import_id", sa.Uuid),
    )


wearable_daily = sa.Table(
    "wearable_daily",
    metadata,
    *owned(),
    sa.Column("date", sa.Date, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    *columns(sa.SmallInteger, "resting_hr_bpm", "max_hr_bpm"),
    *columns(sa.Numeric(6, 2), "hrv_rmssd_ms", "hrv_sdnn_ms"),
    sa.Column("steps", sa.Integer),
    *columns(
        sa.SmallInteger,
        "active_calories_kcal",
        "total_calories_kcal",
        "active_minutes",
        "moderate_intensity_minutes",
        "vigorous_intensity_minutes",
    ),
    sa.Column("distance_m", sa.Integer),
    sa.Column("floors_climbed", sa.SmallInteger),
    *columns(sa.Numeric(4, 1), "spo2_avg_pct", "spo2_min_pct", "respiratory_rate_avg"),
    *columns(
        sa.SmallInteger, "stress_avg", "body_battery_start", "body_battery_end", "readiness_score", "recovery_score"
    ),
    sa.Column("skin_temp_deviation_c", sa.Numeric(4, 2)),
    sa.Column("vo2_max_ml_kg_min", sa.Numeric(4, 1)),
    *provenance(),
    sa.PrimaryKeyConstraint("user_id", "id", "date"),
    sa.UniqueConstraint("user_id", "date", "source"),
    sa.Index(None, "user_id", "source", "date"),
    *ranges(pb.WearableDaily.DESCRIPTOR),
    postgresql_partition_by="RANGE (date)",
)

wearable_sleep = sa.Table(
    "wearable_sleep",
    metadata,
    *owned(),
    sa.Column("sleep_date", sa.Date, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    *columns(sa.DateTime(timezone=True), "sleep_start", "sleep_end"),
    *columns(
        sa.SmallInteger,
        "utc_offset_minutes",
        "total_sleep_minutes",
        "rem_minutes",
        "deep_minutes",
        "light_minutes",
        "awake_minutes",
        "sleep_latency_minutes",
    ),
    sa.Column("sleep_efficiency_pct", sa.Numeric(4, 1)),
    *columns(sa.SmallInteger, "sleep_score", "interruptions", "avg_hr_bpm", "min_hr_bpm"),
    *columns(sa.Numeric(6, 2), "avg_hrv_ms", "avg_hrv_sdnn_ms"),
    *columns(sa.Numeric(4, 1), "avg_respiratory_rate", "avg_spo2_pct"),
    sa.Column("avg_skin_temp_deviation_c", sa.Numeric(4, 2)),
    sa.Column("hypnogram", JSONB),
    *provenance(),
    sa.PrimaryKeyConstraint("user_id", "id", "sleep_date"),
    sa.UniqueConstraint("user_id", "sleep_date", "source"),
    sa.CheckConstraint("sleep_end >= sleep_start", name="sleep_end"),
    *ranges(pb.WearableSleep.DESCRIPTOR),
    postgresql_partition_by="RANGE (sleep_date)",
)

wearable_activities = sa.Table(
    "wearable_activities",
    metadata,
    *owned(),
    sa.Column("activity_date", sa.Date, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("source_activity_id", sa.Text, nullable=False),
    sa.Column("activity_type", sa.Text, nullable=False),
    sa.Column("activity_name", sa.Text),
    *columns(sa.DateTime(timezone=True), "start_time", "end_time"),
    sa.Column("utc_offset_minutes", sa.SmallInteger),
    sa.Column("duration_seconds", sa.Integer),
    sa.Column("distance_m", sa.Numeric(10, 2)),
    *columns(sa.SmallInteger, "calories_kcal", "avg_hr_bpm", "max_hr_bpm"),
    *columns(sa.Integer, *(f"hr_zone_{zone}_seconds" for zone in range(1, 6))),
    sa.Column("avg_pace_sec_per_km", sa.Numeric(7, 2)),
    sa.Column("avg_speed_kmh", sa.Numeric(5, 2)),
    sa.Column("elevation_gain_m", sa.Numeric(7, 2)),
    *columns(sa.SmallInteger, "avg_power_watts", "normalized_power_watts"),
    sa.Column("training_stress_score", sa.Numeric(6, 1)),
    *columns(sa.Numeric(3, 1), "training_effect_aerobic", "training_effect_anaerobic"),
    sa.Column("vo2_max_ml_kg_min", sa.Numeric(4, 1)),
    sa.Column("notes", sa.Text),
    *provenance(),
    sa.Column("deleted_at", sa.DateTime(timezone=True)),
    sa.PrimaryKeyConstraint("user_id", "activity_date", "id"),
    # The date is in the key because the table is partitioned by it; an activity
    # whose date changes is found by its source's id and moved (see activities.py).
    sa.UniqueConstraint("user_id", "source", "source_activity_id", "activity_date"),
    sa.Index(None, "user_id", "id"),
    sa.Index(None, "user_id", "activity_type", "activity_date"),
    sa.CheckConstraint("end_time >= start_time", name="end_time"),
    *ranges(pb.WearableActivity.DESCRIPTOR),
    postgresql_partition_by="RANGE (activity_date)",
)
