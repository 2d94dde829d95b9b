"""Accounts: who is billed, for which tier, and for how many people; and invitations into them."""

import sqlalchemy as sa

from services.identity.base import metadata
from services.kit.database import owned

TIERS = ("free", "pro", "family")
# Stripe's own words for the state of a subscription.
STATUSES = ("trialing", "active", "past_due", "canceled", "unpaid", "paused")
# While a payment is late Stripe tries again; the household goes on.
IN_FORCE = ("trialing", "active", "past_due")
PEOPLE_PER_FAMILY = 4
INVITATION_STATUSES = ("open", "accepted", "declined", "revoked", "expired")

accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("owner_id", sa.Uuid, nullable=False, comment="the person who administers it"),
    sa.Column("stripe_customer_id", sa.Text),
    sa.Column("subscription_tier", sa.Text, nullable=False, server_default="free"),
    sa.Column("subscription_status", sa.Text, nullable=False, server_default="active"),
    sa.Column("subscription_expires_at", sa.DateTime(timezone=True)),
    sa.Column("max_users", sa.SmallInteger, nullable=False, server_default="1"),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("deleted_at", sa.DateTime(timezone=True)),
    sa.UniqueConstraint("stripe_customer_id"),
    sa.CheckConstraint(sa.column("subscription_tier").in_(TIERS), name="subscription_tier"),
    sa.CheckConstraint(sa.column("subscription_status").in_(STATUSES), name="subscription_status"),
    sa.CheckConstraint(
        f"max_users = CASE subscription_tier WHEN 'family' THEN {PEOPLE_PER_FAMILY} ELSE 1 END", name="max_users"
    ),
)

account_invitations = sa.Table(
    "account_invitations",
    metadata,
    *owned(),
    sa.PrimaryKeyConstraint("id"),
    sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
    sa.Column("account_id", sa.Uuid, sa.ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("email", sa.Text, nullable=False, comment="who is invited"),
    sa.Column("status", sa.Text, nullable=False, server_default="open"),
    sa.Column("token_sha256", sa.LargeBinary, comment="null until the mail is made"),
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("ended_at", sa.DateTime(timezone=True)),
    # Looked up before its owner is known, so the owner cannot come first.
    sa.UniqueConstraint("token_sha256"),
    sa.Index(
        "uq_account_invitations_open",
        "user_id",
        "account_id",
        "email",
        unique=True,
        postgresql_where=sa.text("status = 'open'"),
    ),
    sa.CheckConstraint('email = lower(email COLLATE "C") AND char_length(email) BETWEEN 3 AND 254', name="email"),
    sa.CheckConstraint(sa.column("status").in_(INVITATION_STATUSES), name="status"),
    sa.CheckConstraint("(status = 'open') = (ended_at IS NULL)", name="ended"),
    sa.CheckConstraint("octet_length(token_sha256) = 32", name="token_sha256"),
)
