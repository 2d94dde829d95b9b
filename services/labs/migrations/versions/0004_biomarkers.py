"""The biomarker dictionary, and the aliases that people and administrators add to it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

from services.kit.audit_schema import audit_table
from services.kit.migrate import protect
from services.kit.roles import APP_GROUP
from services.labs.biomarkers.catalogue import catalogue
from services.labs.biomarkers.store import store

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The app reads the dictionary from its files; rows that refer to this copy are checked by the tables' owner.
    op.create_table(
        "biomarkers",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("slug", sa.Text, nullable=False),
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
        sa.Column("is_active", sa.Boolean, server_default=sa.true(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("slug ~ '^[a-z][a-z0-9_]{0,63}$'", name=op.f("ck_biomarkers_slug")),
        sa.CheckConstraint("loinc_code ~ '^[0-9]{1,7}-[0-9]$'", name=op.f("ck_biomarkers_loinc_code")),
        sa.CheckConstraint("normal_low <= normal_high", name=op.f("ck_biomarkers_normal_range")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_biomarkers")),
        sa.UniqueConstraint("slug", name=op.f("uq_biomarkers_slug")),
    )
    op.create_index(op.f("ix_biomarkers_category_sort_order"), "biomarkers", ["category", "sort_order"])
    op.create_index(op.f("ix_biomarkers_aliases"), "biomarkers", ["aliases"], postgresql_using="gin")
    store(op.get_bind(), catalogue())

    op.create_table(
        "biomarker_aliases",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("alias", sa.Text, nullable=False),
        sa.Column("alias_key", sa.Text, nullable=False),
        sa.Column("biomarker", sa.Text, nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("char_length(alias) BETWEEN 1 AND 200", name=op.f("ck_biomarker_aliases_alias")),
        sa.CheckConstraint("char_length(alias_key) BETWEEN 1 AND 1000", name=op.f("ck_biomarker_aliases_alias_key")),
        sa.ForeignKeyConstraint(
            ["biomarker"], ["biomarkers.slug"], name=op.f("fk_biomarker_aliases_biomarker_biomarkers")
        ),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_biomarker_aliases")),
    )
    op.create_index(
        "uq_biomarker_aliases_user_id_alias_key",
        "biomarker_aliases",
        ["user_id", "alias_key"],
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    protect("biomarker_aliases", verbs="SELECT, INSERT, UPDATE")
    audit_table("biomarker_aliases")

    # Nobody's rows: administrators write them through RPCs that are theirs alone.
    op.create_table(
        "shared_biomarker_aliases",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("alias", sa.Text, nullable=False),
        sa.Column("alias_key", sa.Text, nullable=False),
        sa.Column("biomarker", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("char_length(alias) BETWEEN 1 AND 200", name=op.f("ck_shared_biomarker_aliases_alias")),
        sa.CheckConstraint(
            "char_length(alias_key) BETWEEN 1 AND 1000", name=op.f("ck_shared_biomarker_aliases_alias_key")
        ),
        sa.ForeignKeyConstraint(
            ["biomarker"], ["biomarkers.slug"], name=op.f("fk_shared_biomarker_aliases_biomarker_biomarkers")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shared_biomarker_aliases")),
        sa.UniqueConstraint("alias_key", name=op.f("uq_shared_biomarker_aliases_alias_key")),
    )
    op.execute(f"GRANT SELECT, INSERT, DELETE ON shared_biomarker_aliases TO {APP_GROUP}")


def downgrade() -> None:
    op.drop_table("shared_biomarker_aliases")
    op.drop_table("biomarker_aliases")
    op.drop_table("biomarkers")
