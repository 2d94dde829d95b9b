"""Preferences, why somebody is suspended, and whether they have been through onboarding."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from services.kit.migrate import protect

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

UNITS = {
    "weight_unit": ("lbs", "kg"),
    "height_unit": ("in", "cm"),
    "distance_unit": ("miles", "km"),
    "temperature_unit": ("F", "C"),
    "energy_unit": ("kcal", "kJ"),
}
OBJECTS = ("notification_prefs", "dashboard_layout")
SUSPENDED_REASON = "suspended_reason IS NULL OR account_status = 'suspended'"


def upgrade() -> None:
    op.create_table(
        "user_preferences",
        sa.Column("user_id", sa.Uuid, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False, server_default=units[0]) for name, units in UNITS.items()),
        sa.Column("timezone", sa.Text, nullable=False, server_default="UTC"),
        sa.Column("notifications_enabled", sa.Boolean, nullable=False, server_default="true"),
        *(sa.Column(name, JSONB, nullable=False, server_default="{}") for name in OBJECTS),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_user_preferences")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_user_preferences_user_id_users"), ondelete="CASCADE"
        ),
        *(
            sa.CheckConstraint(f"{name} IN ('{units[0]}', '{units[1]}')", name=op.f(f"ck_user_preferences_{name}"))
            for name, units in UNITS.items()
        ),
        sa.CheckConstraint("char_length(timezone) BETWEEN 1 AND 50", name=op.f("ck_user_preferences_timezone")),
        *(
            sa.CheckConstraint(
                f"jsonb_typeof({name}) = 'object' AND octet_length({name}::text) <= 32768",
                name=op.f(f"ck_user_preferences_{name}"),
            )
            for name in OBJECTS
        ),
    )
    protect("user_preferences", verbs="SELECT, INSERT, UPDATE")

    op.add_column("users", sa.Column("suspended_reason", sa.Text, comment="why, for other admins"))
    op.create_check_constraint(op.f("ck_users_suspended_reason"), "users", SUSPENDED_REASON)
    op.add_column(
        "users",
        sa.Column(
            "onboarding_completed",
            sa.Boolean,
            sa.Computed("onboarding_completed_at IS NOT NULL", persisted=True),
            nullable=False,
        ),
    )
    # Letters are compared as ASCII's whatever the database's language: in Turkish, I is no i.
    _index_usernames('lower(username COLLATE "C")')


def downgrade() -> None:
    _index_usernames("lower(username)")
    op.drop_column("users", "onboarding_completed")
    op.drop_column("users", "suspended_reason")
    op.drop_table("user_preferences")


def _index_usernames(expression: str) -> None:
    op.drop_index("uq_users_username", "users")
    op.create_index(
        op.f("uq_users_username"),
        "users",
        [sa.text(expression)],
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
