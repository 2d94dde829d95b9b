"""The dictionary's copy in the database, which results refer to, and the aliases that people and administrators add."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from services.kit.database import owned
from services.labs.base import metadata

# The same for everybody. The service reads the files that it is loaded from
# (catalogue.py) and may not even read the table, which is what rows refer to.
biomarkers = sa.Table(
    "biomarkers",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("slug", sa.Text, nullable=False, unique=True),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("category", sa.Text, nullable=False),
    sa.Column("sub_panel", sa.Text, nullable=False),
    sa.Column("specimen", sa.Text, nullable=False),
    sa.Column("canonical_unit", sa.Text, nullable=False),
    sa.Column("common_units", ARRAY(sa.Text), nullable=False),
    sa.Column("loinc_code", sa.Text),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("aliases", ARRAY(sa.Text), nullable=False),
    sa.Column("sex_specific_ranges", sa.Boolean, nullable=False),
    sa.Column("optimal_low_male", sa.Numeric(12, 4)),
    sa.Column("optimal_high_male", sa.Numeric(12, 4)),
    sa.Column("optimal_low_female", sa.Numeric(12, 4)),
    sa.Column("optimal_high_female", sa.Numeric(12, 4)),
    sa.Column("normal_low", sa.Numeric(12, 4)),
    sa.Column("normal_high", sa.Numeric(12, 4)),
    sa.Column("is_qualitative", sa.Boolean, nullable=False),
    sa.Column("sort_order", sa.Integer, nullable=False),
    # Of one that the files do not have any more: rows still refer to it.
    sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.CheckConstraint("slug ~ '^[a-z][a-z0-9_]{0,63}$'", name="slug"),
    sa.CheckConstraint("loinc_code ~ '^[0-9]{1,7}-[0-9]$'", name="loinc_code"),
    sa.CheckConstraint("normal_low <= normal_high", name="normal_range"),
    sa.Index(None, "category", "sort_order"),
    sa.Index(None, "aliases", postgresql_using="gin"),
)

biomarker_aliases = sa.Table(
    "biomarker_aliases",
    metadata,
    *owned(),
    sa.Column("alias", sa.Text, nullable=False),
    # Its words as matching compares them.
    sa.Column("alias_key", sa.Text, nullable=False),
    sa.Column("biomarker", sa.Text, sa.ForeignKey("biomarkers.slug"), nullable=False),
    sa.Column("deleted_at", sa.DateTime(timezone=True)),
    sa.PrimaryKeyConstraint("user_id", "id"),
    sa.CheckConstraint("char_length(alias) BETWEEN 1 AND 200", name="alias"),
    sa.CheckConstraint("char_length(alias_key) BETWEEN 1 AND 1000", name="alias_key"),
    sa.Index(
        "uq_biomarker_aliases_user_id_alias_key",
        "user_id",
        "alias_key",
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    ),
)

shared_biomarker_aliases = sa.Table(
    "shared_biomarker_aliases",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("alias", sa.Text, nullable=False),
    sa.Column("alias_key", sa.Text, nullable=False, unique=True),
    sa.Column("biomarker", sa.Text, sa.ForeignKey("biomarkers.slug"), nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.CheckConstraint("char_length(alias) BETWEEN 1 AND 200", name="alias"),
    sa.CheckConstraint("char_length(alias_key) BETWEEN 1 AND 1000", name="alias_key"),
)
