"""Health profiles: body, allergens, allergies, intolerances, medical conditions, dietary restrictions."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

from services.identity.health_profile.allergens.catalogue import store
from services.kit.audit_schema import audit_table
from services.kit.migrate import protect

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

# Of the file that this revision stores; when it has changed, another revision stores it.
ALLERGENS_SHA256 = "3f6f36c07a0fc89dd2e5833b6c8114528ce5830dc57d51a07e0c77e1653e0a84"
RECORDS = ("allergies", "intolerances", "medical_conditions", "dietary_restrictions")
# Nobody's rows are written before their address is proved (the person is visible to the policy as to the app).
VERIFIED = "EXISTS (SELECT FROM users WHERE users.id = user_id AND users.email_verified_at IS NOT NULL)"


def upgrade() -> None:
    op.create_table(
        "health_profiles",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("height_cm", sa.Numeric(4, 1)),
        sa.Column("weight_kg", sa.Numeric(5, 2)),
        sa.Column("activity_level", sa.Text),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_health_profiles")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_health_profiles_user_id_users"), ondelete="CASCADE"
        ),
        sa.CheckConstraint("height_cm BETWEEN 50 AND 300", name=op.f("ck_health_profiles_height_cm")),
        sa.CheckConstraint("weight_kg BETWEEN 20 AND 500", name=op.f("ck_health_profiles_weight_kg")),
        sa.CheckConstraint(
            "activity_level IN ('sedentary', 'light', 'moderate', 'active', 'very_active')",
            name=op.f("ck_health_profiles_activity_level"),
        ),
    )
    # The app reads the list from its file; rows that refer to it are checked by the tables' owner.
    op.create_table(
        "allergens",
        sa.Column("id", sa.Uuid, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("name", "category", "description")),
        sa.Column("lists", ARRAY(sa.Text), nullable=False),
        sa.Column("parent_ids", ARRAY(sa.Uuid), nullable=False),
        *(sa.Column(name, ARRAY(sa.Text), nullable=False) for name in ("synonyms", "derivatives", "common_foods")),
        sa.Column("fda_recognized", sa.Boolean, nullable=False),
        sa.Column("is_active", sa.Boolean, server_default="true", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_allergens")),
        sa.UniqueConstraint("name", name=op.f("uq_allergens_name")),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 100", name=op.f("ck_allergens_name")),
        sa.CheckConstraint(
            "category IN ('Food', 'Environmental', 'Medication', 'Other')", name=op.f("ck_allergens_category")
        ),
        sa.CheckConstraint("lists <@ ARRAY['eat', 'eu', 'us']", name=op.f("ck_allergens_lists")),
    )
    store(op.get_bind())
    create_record(
        "allergies",
        *named("allergies"),
        sa.Column("severity", sa.Text),
        sa.Column("source", sa.Text, server_default="stated", nullable=False),
        sa.CheckConstraint(
            "severity IN ('MILD', 'MODERATE', 'SEVERE', 'LIFE_THREATENING')", name=op.f("ck_allergies_severity")
        ),
        sa.CheckConstraint("source IN ('stated', 'dietary_preferences')", name=op.f("ck_allergies_source")),
        sa.CheckConstraint(
            "severity IS NOT NULL OR source = 'dietary_preferences'", name=op.f("ck_allergies_severity_stated")
        ),
    )
    create_record("intolerances", *named("intolerances"))
    for table in ("allergies", "intolerances"):
        index_names(table)
    create_record(
        "medical_conditions",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("icd10_code", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("diagnosed_date", sa.Date),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 200", name=op.f("ck_medical_conditions_name")),
        sa.CheckConstraint(
            r"icd10_code ~ '^[A-Z][0-9][0-9A-Z](\.[0-9A-Z]{1,4})?$'", name=op.f("ck_medical_conditions_icd10_code")
        ),
        sa.CheckConstraint(
            "status IN ('active', 'recurrence', 'relapse', 'inactive', 'remission', 'resolved')",
            name=op.f("ck_medical_conditions_status"),
        ),
    )
    create_record(
        "dietary_restrictions",
        sa.Column("restriction", sa.Text, nullable=False),
        sa.CheckConstraint(
            "restriction IN ('vegetarian', 'vegan', 'gluten_free', 'kosher', 'halal', 'keto', 'paleo')",
            name=op.f("ck_dietary_restrictions_restriction"),
        ),
    )
    op.create_index(
        op.f("uq_dietary_restrictions_restriction"),
        "dietary_restrictions",
        ["user_id", "restriction"],
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    protect("health_profiles", verbs="SELECT, INSERT, UPDATE")
    for table in RECORDS:
        protect(table, verbs="SELECT, INSERT, UPDATE")
    for table in ("health_profiles", *RECORDS):
        op.execute(f"CREATE POLICY verified ON {table} AS RESTRICTIVE FOR INSERT WITH CHECK ({VERIFIED})")
        audit_table(table)


def downgrade() -> None:
    for table in reversed(("health_profiles", "allergens", *RECORDS)):
        op.drop_table(table)


def create_record(table: str, *columns: Any) -> None:
    op.create_table(
        table,
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.Column("notes", sa.LargeBinary),
        *columns,
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f(f"pk_{table}")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f(f"fk_{table}_user_id_users"), ondelete="CASCADE"),
    )
    op.create_index(op.f(f"ix_{table}_user_id_created_at_id"), table, ["user_id", "created_at", "id"])


def named(table: str) -> tuple[Any, ...]:
    return (
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("allergen_id", sa.Uuid),
        sa.Column("diagnosed_date", sa.Date),
        sa.Column("reaction", sa.LargeBinary),
        sa.Column("matched", sa.Boolean, sa.Computed("allergen_id IS NOT NULL", persisted=True), nullable=False),
        sa.Column("matched_allergen", sa.Text),
        sa.Column("match_method", sa.Text),
        sa.Column("match_confidence", sa.Double),
        sa.ForeignKeyConstraint(["allergen_id"], ["allergens.id"], name=op.f(f"fk_{table}_allergen_id_allergens")),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 100", name=op.f(f"ck_{table}_name")),
        sa.CheckConstraint(
            "match_method IN ('exact', 'synonym', 'derivative', 'fuzzy', 'chosen')",
            name=op.f(f"ck_{table}_match_method"),
        ),
        sa.CheckConstraint("match_confidence BETWEEN 0 AND 1", name=op.f(f"ck_{table}_match_confidence")),
        sa.CheckConstraint(
            "num_nonnulls(allergen_id, matched_allergen, match_method, match_confidence) IN (0, 4)",
            name=op.f(f"ck_{table}_match"),
        ),
    )


def index_names(table: str) -> None:
    op.create_index(
        op.f(f"uq_{table}_allergen"),
        table,
        ["user_id", "allergen_id"],
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL AND allergen_id IS NOT NULL"),
    )
    op.create_index(
        op.f(f"uq_{table}_name"),
        table,
        ["user_id", sa.text("lower(name)")],
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL AND allergen_id IS NULL"),
    )
