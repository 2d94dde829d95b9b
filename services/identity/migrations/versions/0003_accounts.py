"""Accounts, and what a person is besides a login: state, profile, a verified address."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from services.kit.migrate import SUBJECT, install_function
from services.kit.roles import APP_GROUP

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def profile() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("account_status", sa.Text, nullable=False, server_default="active"),
        sa.Column("suspended_at", sa.DateTime(timezone=True)),
        sa.Column("email_verified_at", sa.DateTime(timezone=True)),
        sa.Column("username", sa.Text),
        sa.Column("name", sa.Text),
        sa.Column("bio", sa.Text),
        sa.Column("profile_picture_url", sa.Text),
        sa.Column("cycle_enabled", sa.Boolean, nullable=False, server_default="false"),
        sa.Column("date_of_birth", sa.LargeBinary, comment="encrypted, see kit/vault.py"),
        sa.Column("biological_sex", sa.Text),
        sa.Column("onboarding_completed_at", sa.DateTime(timezone=True)),
    )


CHECKS = {
    "account_status": "account_status IN ('active', 'suspended', 'deleted')",
    "suspended": "(account_status = 'suspended') = (suspended_at IS NOT NULL)",
    "username": "username ~ '^[a-zA-Z0-9_]{3,20}$'",
    "name": "char_length(name) <= 100",
    "bio": "char_length(bio) <= 2000",
    "profile_picture_url": "char_length(profile_picture_url) <= 500",
    "biological_sex": "biological_sex IN ('male', 'female', 'other', 'prefer_not_to_say')",
}
FIND_CREDENTIALS = """
    CREATE OR REPLACE FUNCTION find_credentials(email text) RETURNS TABLE (user_id uuid, password_hash text)
    LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
      SELECT users.id, users.password_hash FROM public.users
      WHERE users.email = $1 AND users.deleted_at IS NULL AND users.email_verified_at IS NOT NULL
    $$
"""
FIND_CREDENTIALS_BEFORE = FIND_CREDENTIALS.replace(" AND users.email_verified_at IS NOT NULL", "")
LIVING = "deleted_at IS NULL"
VERIFIED = f"{LIVING} AND email_verified_at IS NOT NULL"


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("owner_id", sa.Uuid, nullable=False, comment="the person who administers it"),
        sa.Column("stripe_customer_id", sa.Text),
        sa.Column("subscription_tier", sa.Text, nullable=False, server_default="free"),
        sa.Column("subscription_status", sa.Text, nullable=False, server_default="active"),
        sa.Column("subscription_expires_at", sa.DateTime(timezone=True)),
        sa.Column("max_users", sa.SmallInteger, nullable=False, server_default="1"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("stripe_customer_id", name=op.f("uq_accounts_stripe_customer_id")),
        sa.CheckConstraint(
            "subscription_tier IN ('free', 'pro', 'family')", name=op.f("ck_accounts_subscription_tier")
        ),
        sa.CheckConstraint(
            "subscription_status IN ('trialing', 'active', 'past_due', 'canceled', 'unpaid', 'paused')",
            name=op.f("ck_accounts_subscription_status"),
        ),
        sa.CheckConstraint(
            "max_users = CASE subscription_tier WHEN 'family' THEN 4 ELSE 1 END", name=op.f("ck_accounts_max_users")
        ),
    )
    for column in profile():
        op.add_column("users", column)
    op.add_column("users", sa.Column("account_id", sa.Uuid))
    # Who has signed up so far keeps their login.
    op.execute("UPDATE users SET account_id = gen_random_uuid(), email_verified_at = created_at")
    op.execute("INSERT INTO accounts (id, owner_id) SELECT account_id, id FROM users")
    op.alter_column("users", "account_id", nullable=False)
    # Deferred, so that a new person comes before their account, whose policy asks for them.
    op.create_foreign_key(
        op.f("fk_users_account_id_accounts"),
        "users",
        "accounts",
        ["account_id"],
        ["id"],
        deferrable=True,
        initially="DEFERRED",
    )
    op.create_index(op.f("ix_users_account_id"), "users", ["account_id"])
    for name, rule in CHECKS.items():
        op.create_check_constraint(op.f(f"ck_users_{name}"), "users", rule)
    op.drop_index("uq_users_email_living")
    op.create_index(
        op.f("uq_users_email_verified"), "users", ["email"], unique=True, postgresql_where=sa.text(VERIFIED)
    )
    op.create_index(
        op.f("uq_users_username"),
        "users",
        [sa.text("lower(username)")],
        unique=True,
        postgresql_where=sa.text(LIVING),
    )
    install_function("find_credentials(text)", FIND_CREDENTIALS)

    op.execute("ALTER TABLE accounts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    mine = f"id = (SELECT users.account_id FROM users WHERE users.id = {SUBJECT})"
    op.execute(f"CREATE POLICY member ON accounts USING ({mine}) WITH CHECK ({mine})")
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON accounts TO {APP_GROUP}")


def downgrade() -> None:
    install_function("find_credentials(text)", FIND_CREDENTIALS_BEFORE)
    op.drop_index(op.f("uq_users_username"), "users")
    op.drop_index(op.f("uq_users_email_verified"), "users")
    # Of several who asked for one address, at most one has proved that it is theirs.
    op.execute("DELETE FROM users WHERE deleted_at IS NULL AND email_verified_at IS NULL")
    op.create_index(op.f("uq_users_email_living"), "users", ["email"], unique=True, postgresql_where=sa.text(LIVING))
    op.drop_constraint(op.f("fk_users_account_id_accounts"), "users")
    op.drop_table("accounts")
    op.drop_column("users", "account_id")
    for column in reversed(profile()):
        op.drop_column("users", column.name)
