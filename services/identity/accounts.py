"""Accounts: who is billed, for which tier, and for how many people."""

import sqlalchemy as sa

from services.identity.base import metadata

TIERS = ("free", "pro", "family")
# Stripe's own words for the state of a subscription.
STATUSES = ("trialing", "active", "past_due", "canceled", "unpaid", "paused")
PEOPLE_PER_FAMILY = 4

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
