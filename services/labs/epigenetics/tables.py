"""Epigenetic tests and the organ ages in them. Ranges are the proto's; the CHECKs from them are the last line."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from services.kit.checks import one_of, ranges
from services.kit.database import owned
from services.labs.base import metadata
from services.labs.children import child_columns
from vitalis.labs.v1 import epigenetics_pb2 as pb
from vitalis.options.v1 import rules_pb2

DELTA = "biological_age - chronological_age"
# With the casts that PostgreSQL adds, so that the migrations' text is the table's.
DIRECTION = (
    f"CASE WHEN {DELTA} < 0::numeric THEN 'younger'::text WHEN {DELTA} > 0::numeric THEN 'older'::text"
    f" WHEN {DELTA} = 0::numeric THEN 'same'::text ELSE NULL::text END"
)

epigenetic_tests = sa.Table(
    "epigenetic_tests",
    metadata,
    *owned(),
    sa.Column("provider", sa.Text),
    sa.Column("kit_id", sa.Text),
    sa.Column("collected_at", sa.Date, nullable=False),
    sa.Column("reported_at", sa.Date),
    sa.Column("chronological_age", sa.Numeric(4, 1)),
    sa.Column("biological_age", sa.Numeric(4, 1)),
    sa.Column("delta_years", sa.Numeric(4, 1), sa.Computed(DELTA, persisted=True)),
    sa.Column("pace_score", sa.Numeric(4, 2)),
    sa.Column("pace_percentile", sa.Numeric(5, 2)),
    sa.Column("telomere_length", sa.Numeric(6, 3)),
    sa.Column("methylation_clock", sa.Text),
    sa.Column("document_id", sa.Uuid),
    sa.Column("raw_data", JSONB),
    sa.Column("deleted_at", sa.DateTime(timezone=True)),
    sa.PrimaryKeyConstraint("user_id", "id"),
    sa.ForeignKeyConstraint(
        ["user_id", "document_id"], ["documents.user_id", "documents.id"], name="fk_epigenetic_tests_document"
    ),
    sa.Index(None, "user_id", "collected_at", "id"),
    sa.CheckConstraint("char_length(provider) <= 200", name="provider"),
    sa.CheckConstraint("char_length(kit_id) <= 100", name="kit_id"),
    sa.CheckConstraint("char_length(methylation_clock) <= 100", name="methylation_clock"),
    sa.CheckConstraint("reported_at >= collected_at", name="reported_at"),
    *ranges(pb.EpigeneticTest.DESCRIPTOR),
)
epigenetic_organ_ages = sa.Table(
    "epigenetic_organ_ages",
    metadata,
    *child_columns("test_id", "epigenetic_tests", "organ_system"),
    sa.Column("biological_age", sa.Numeric(4, 1), nullable=False),
    sa.Column("chronological_age", sa.Numeric(4, 1)),
    sa.Column("delta_years", sa.Numeric(4, 1), sa.Computed(DELTA, persisted=True)),
    sa.Column("direction", sa.Text, sa.Computed(DIRECTION, persisted=True)),
    one_of("organ_system", rules_pb2.organ_system),
    sa.CheckConstraint("chronological_age BETWEEN 0 AND 150", name="chronological_age"),
    *ranges(pb.OrganAge.DESCRIPTOR),
)
