"""Panels, their markers, and which panels were ordered at which visit."""

import sqlalchemy as sa

from services.kit.database import owned
from services.labs.base import metadata

blood_panels = sa.Table(
    "blood_panels",
    metadata,
    *owned(),
    sa.Column("collected_date", sa.Date, nullable=False),
    sa.Column("collected_at", sa.DateTime(timezone=True)),
    sa.Column("reported_at", sa.DateTime(timezone=True)),
    sa.Column("lab_name", sa.Text),
    sa.Column("lab_provider", sa.Text),
    sa.Column("panel_name", sa.Text),
    sa.Column("fasting", sa.Boolean),
    sa.Column("specimen_id", sa.Text),
    sa.Column("document_id", sa.Uuid),
    sa.Column("sex", sa.Text),
    sa.Column("age_years", sa.SmallInteger),
    sa.Column("cycle_phase", sa.Text),
    sa.Column("notes", sa.LargeBinary),
    sa.Column("import_id", sa.Uuid),
    sa.Column("source_system", sa.Text),
    sa.Column("source_id", sa.Text),
    sa.Column("lab_comment", sa.LargeBinary),
    sa.Column("deleted_at", sa.DateTime(timezone=True)),
    sa.PrimaryKeyConstraint("user_id", "id"),
    sa.ForeignKeyConstraint(
        ["user_id", "document_id"], ["documents.user_id", "documents.id"], name="fk_blood_panels_document"
    ),
    # What a marker refers to, so that its date is its panel's.
    sa.UniqueConstraint("user_id", "id", "collected_date"),
    # No zone is further than 14 hours ahead of UTC or 12 behind.
    sa.CheckConstraint(
        "collected_at - collected_date::timestamp AT TIME ZONE 'UTC'"
        " BETWEEN interval '-14 hours' AND interval '36 hours'",
        name="collected_at",
    ),
    sa.CheckConstraint("sex IN ('female', 'male')", name="sex"),
    sa.CheckConstraint("age_years BETWEEN 0 AND 150", name="age_years"),
    sa.CheckConstraint(
        "cycle_phase IN ('menstruation', 'follicular', 'ovulation', 'luteal', 'postmenopause')", name="cycle_phase"
    ),
    sa.CheckConstraint("char_length(lab_name) <= 200", name="lab_name"),
    sa.CheckConstraint("char_length(lab_provider) <= 200", name="lab_provider"),
    sa.CheckConstraint("char_length(panel_name) <= 200", name="panel_name"),
    sa.CheckConstraint("char_length(specimen_id) <= 100", name="specimen_id"),
    sa.Index(None, "user_id", "collected_date", "id"),
    sa.Index(
        "uq_blood_panels_same",
        "user_id",
        "collected_date",
        "lab_name",
        "panel_name",
        "specimen_id",
        "collected_at",
        unique=True,
        postgresql_nulls_not_distinct=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    ),
)

blood_markers = sa.Table(
    "blood_markers",
    metadata,
    *owned(),
    sa.Column("panel_id", sa.Uuid, nullable=False),
    sa.Column("collected_date", sa.Date, nullable=False),
    sa.Column("biomarker", sa.Text),
    # A panel has each marker once: the same biomarker, or what the dictionary
    # does not know by the same name and specimen (reading.py).
    sa.Column("marker_key", sa.Text, nullable=False),
    # How commas were read, so that it is read the same again.
    sa.Column("decimal_comma", sa.Boolean, nullable=False),
    sa.Column("raw_name", sa.Text, nullable=False),
    sa.Column("sub_panel", sa.Text),
    sa.Column("specimen", sa.Text),
    sa.Column("loinc_code", sa.Text),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("unit", sa.Text),
    sa.Column("ref_range_text", sa.Text),
    sa.Column("flag", sa.Text),
    sa.Column("lab_code", sa.Text),
    sa.Column("parse_confidence", sa.Numeric(3, 2)),
    sa.Column("comparator", sa.Text, nullable=False, server_default=""),
    # Without a scale: 0.00003 and 250,000,000 copies/mL are both results.
    sa.Column("value_numeric", sa.Numeric),
    sa.Column("value_text", sa.Text),
    sa.Column("value_canonical", sa.Numeric),
    sa.Column("ref_range_low", sa.Numeric),
    sa.Column("ref_range_high", sa.Numeric),
    sa.Column("range_source", sa.Text),
    sa.Column("own_flag", sa.Text),
    sa.Column("in_range", sa.Boolean),
    sa.Column("optimal_low", sa.Numeric),
    sa.Column("optimal_high", sa.Numeric),
    sa.Column("in_optimal", sa.Boolean),
    sa.Column("import_id", sa.Uuid),
    sa.Column("source_id", sa.Text),
    sa.Column("source_place", sa.Text),
    sa.Column("lab_comment", sa.LargeBinary),
    sa.Column("deleted_at", sa.DateTime(timezone=True)),
    sa.PrimaryKeyConstraint("user_id", "id"),
    sa.ForeignKeyConstraint(
        ["user_id", "panel_id", "collected_date"],
        ["blood_panels.user_id", "blood_panels.id", "blood_panels.collected_date"],
        name="fk_blood_markers_panel",
        onupdate="CASCADE",
        ondelete="CASCADE",
    ),
    sa.CheckConstraint("(value_numeric IS NULL) <> (value_text IS NULL)", name="value"),
    sa.CheckConstraint("value_numeric BETWEEN -1e21 AND 1e21", name="value_numeric"),
    sa.CheckConstraint("value_canonical BETWEEN -1e42 AND 1e42", name="value_canonical"),
    sa.CheckConstraint("comparator IN ('', '<', '<=', '>', '>=')", name="comparator"),
    sa.CheckConstraint("flag IN ('H', 'L', 'HH', 'LL', 'ABNORMAL')", name="flag"),
    sa.CheckConstraint("own_flag IN ('H', 'L', 'ABNORMAL')", name="own_flag"),
    sa.CheckConstraint("range_source IN ('report', 'dictionary')", name="range_source"),
    sa.CheckConstraint("parse_confidence BETWEEN 0 AND 1", name="parse_confidence"),
    sa.CheckConstraint("ref_range_low <= ref_range_high", name="ref_range"),
    sa.CheckConstraint("char_length(raw_name) BETWEEN 1 AND 200", name="raw_name"),
    # Finds a panel's markers too.
    sa.Index(
        "uq_blood_markers_same",
        "user_id",
        "panel_id",
        "marker_key",
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    ),
    # A trend reads one range of it.
    sa.Index(None, "user_id", "biomarker", "collected_date", "id"),
    sa.Index(None, "user_id", "collected_date", "id"),
)

doctor_visit_panels = sa.Table(
    "doctor_visit_panels",
    metadata,
    sa.Column("user_id", sa.Uuid, primary_key=True),
    sa.Column("visit_id", sa.Uuid, primary_key=True),
    sa.Column("panel_id", sa.Uuid, primary_key=True),
    sa.ForeignKeyConstraint(["user_id", "visit_id"], ["doctor_visits.user_id", "doctor_visits.id"], ondelete="CASCADE"),
    sa.ForeignKeyConstraint(["user_id", "panel_id"], ["blood_panels.user_id", "blood_panels.id"], ondelete="CASCADE"),
    sa.Index(None, "user_id", "panel_id"),
)
