"""Tables of health profiles. Ranges and lists are the proto's; the CHECKs are the last line behind its validation."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from services.identity.base import metadata
from services.identity.health_profile.energy import ACTIVITY_FACTORS
from services.kit.checks import ranges
from services.kit.database import owned
from vitalis.identity.v1 import health_profile_pb2 as pb

SEVERITIES = ("MILD", "MODERATE", "SEVERE", "LIFE_THREATENING")
SOURCES = ("stated", "dietary_preferences")
CATEGORIES = ("Food", "Environmental", "Medication", "Other")
LISTS = ("eat", "eu", "us")
METHODS = ("exact", "synonym", "derivative", "fuzzy", "chosen")
CONDITION_STATUSES = ("active", "recurrence", "relapse", "inactive", "remission", "resolved")
RESTRICTIONS = ("vegetarian", "vegan", "gluten_free", "kosher", "halal", "keto", "paleo")
LIVING = sa.text("deleted_at IS NULL")

health_profiles = sa.Table(
    "health_profiles",
    metadata,
    sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("height_cm", sa.Numeric(4, 1)),
    sa.Column("weight_kg", sa.Numeric(5, 2)),
    sa.Column("activity_level", sa.Text),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    *ranges(pb.HealthProfile.DESCRIPTOR),
    sa.CheckConstraint(sa.column("activity_level").in_(ACTIVITY_FACTORS), name="activity_level"),
)

# The same for everybody. The service reads the file that it is loaded from (allergens/catalogue.py):
# the table is what rows refer to.
allergens = sa.Table(
    "allergens",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("category", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("lists", ARRAY(sa.Text), nullable=False),
    sa.Column("parent_ids", ARRAY(sa.Uuid), nullable=False),
    sa.Column("synonyms", ARRAY(sa.Text), nullable=False),
    sa.Column("derivatives", ARRAY(sa.Text), nullable=False),
    sa.Column("common_foods", ARRAY(sa.Text), nullable=False),
    sa.Column("fda_recognized", sa.Boolean, nullable=False),
    sa.Column("is_active", sa.Boolean, nullable=False, server_default="true"),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.CheckConstraint("char_length(name) BETWEEN 1 AND 100", name="name"),
    sa.CheckConstraint(sa.column("category").in_(CATEGORIES), name="category"),
    sa.CheckConstraint("lists <@ ARRAY['eat', 'eu', 'us']", name="lists"),
)


def person() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE")


def entered() -> tuple[Any, ...]:
    """What every table of a person's statements has."""
    return (
        *owned(),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.Column("notes", sa.LargeBinary),
        sa.PrimaryKeyConstraint("user_id", "id"),
        person(),
        sa.Index(None, "user_id", "created_at", "id"),
    )


def named(table: str) -> tuple[Any, ...]:
    """The name of something that may be an allergen, the allergen that it is linked to, and why.

    Among the living rows of a person an allergen stands once, and so does a name that is none.
    """
    return (
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("allergen_id", sa.Uuid, sa.ForeignKey("allergens.id")),
        sa.Column("diagnosed_date", sa.Date),
        sa.Column("reaction", sa.LargeBinary),
        sa.Column("matched", sa.Boolean, sa.Computed("allergen_id IS NOT NULL", persisted=True), nullable=False),
        sa.Column("matched_allergen", sa.Text),
        sa.Column("match_method", sa.Text),
        sa.Column("match_confidence", sa.Double),
        sa.Index(
            f"uq_{table}_allergen",
            "user_id",
            "allergen_id",
            unique=True,
            postgresql_where=sa.text("deleted_at IS NULL AND allergen_id IS NOT NULL"),
        ),
        sa.Index(
            f"uq_{table}_name",
            "user_id",
            sa.text("lower(name)"),
            unique=True,
            postgresql_where=sa.text("deleted_at IS NULL AND allergen_id IS NULL"),
        ),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 100", name="name"),
        sa.CheckConstraint(sa.column("match_method").in_(METHODS), name="match_method"),
        sa.CheckConstraint("match_confidence BETWEEN 0 AND 1", name="match_confidence"),
        sa.CheckConstraint(
            "num_nonnulls(allergen_id, matched_allergen, match_method, match_confidence) IN (0, 4)", name="match"
        ),
    )


allergies = sa.Table(
    "allergies",
    metadata,
    *entered(),
    *named("allergies"),
    sa.Column("severity", sa.Text),
    sa.Column("source", sa.Text, nullable=False, server_default="stated"),
    sa.CheckConstraint(sa.column("severity").in_(SEVERITIES), name="severity"),
    sa.CheckConstraint(sa.column("source").in_(SOURCES), name="source"),
    sa.CheckConstraint("severity IS NOT NULL OR source = 'dietary_preferences'", name="severity_stated"),
)

intolerances = sa.Table("intolerances", metadata, *entered(), *named("intolerances"))

medical_conditions = sa.Table(
    "medical_conditions",
    metadata,
    *entered(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("icd10_code", sa.Text),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("diagnosed_date", sa.Date),
    sa.CheckConstraint("char_length(name) BETWEEN 1 AND 200", name="name"),
    sa.CheckConstraint(r"icd10_code ~ '^[A-Z][0-9][0-9A-Z](\.[0-9A-Z]{1,4})?$'", name="icd10_code"),
    sa.CheckConstraint(sa.column("status").in_(CONDITION_STATUSES), name="status"),
)

dietary_restrictions = sa.Table(
    "dietary_restrictions",
    metadata,
    *entered(),
    sa.Column("restriction", sa.Text, nullable=False),
    sa.Index("uq_dietary_restrictions_restriction", "user_id", "restriction", unique=True, postgresql_where=LIVING),
    sa.CheckConstraint(sa.column("restriction").in_(RESTRICTIONS), name="restriction"),
)
