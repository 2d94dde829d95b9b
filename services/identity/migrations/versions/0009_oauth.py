"""Identities at other providers, and the log-ins there that have begun."""

import sqlalchemy as sa
from alembic import op

from services.kit.audit_schema import audit_table
from services.kit.migrate import install_function, protect

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# Before a caller is known: each answers one exact key that cannot be guessed.
FUNCTIONS = {
    "find_identity(text, text)": """
        CREATE FUNCTION find_identity(provider text, provider_user_id text) RETURNS TABLE (user_id uuid)
        LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
          SELECT oauth_identities.user_id FROM public.oauth_identities
          WHERE oauth_identities.provider = $1 AND oauth_identities.provider_user_id = $2
        $$
    """,
    "begin_oauth(bytea, bytea, text, text)": """
        CREATE FUNCTION begin_oauth(state_sha256 bytea, binding_sha256 bytea, provider text, redirect_uri text)
        RETURNS timestamptz
        LANGUAGE sql STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
          INSERT INTO public.oauth_states (state_sha256, binding_sha256, provider, redirect_uri, expires_at)
          VALUES ($1, $2, $3, $4, now() + interval '10 minutes') RETURNING expires_at
        $$
    """,
    "take_oauth(bytea)": """
        CREATE FUNCTION take_oauth(state_sha256 bytea)
        RETURNS TABLE (binding_sha256 bytea, provider text, redirect_uri text)
        LANGUAGE sql STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
          WITH taken AS (DELETE FROM public.oauth_states WHERE oauth_states.state_sha256 = $1 RETURNING *)
          SELECT taken.binding_sha256, taken.provider, taken.redirect_uri FROM taken WHERE taken.expires_at > now()
        $$
    """,
    "forget_oauth()": """
        CREATE FUNCTION forget_oauth() RETURNS bigint
        LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
          WITH forgotten AS (DELETE FROM public.oauth_states WHERE expires_at < now() RETURNING 1)
          SELECT count(*) FROM forgotten
        $$
    """,
}


def upgrade() -> None:
    op.create_table(
        "oauth_identities",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("provider_user_id", sa.Text, nullable=False, comment="the issuer, a space, and its subject"),
        sa.Column("access_token_enc", sa.LargeBinary, nullable=False),
        sa.Column("refresh_token_enc", sa.LargeBinary),
        sa.Column("expires_at", sa.DateTime(timezone=True), comment="of the access token"),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_oauth_identities")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_oauth_identities_user_id_users"), ondelete="CASCADE"
        ),
        sa.UniqueConstraint("provider", "provider_user_id", name=op.f("uq_oauth_identities_provider_provider_user_id")),
    )
    op.create_index(op.f("ix_oauth_identities_user_id"), "oauth_identities", ["user_id"])
    protect("oauth_identities")
    tokens = ("access_token_enc", "refresh_token_enc")
    # Each log-in renews them, and is an event of its own.
    audit_table("oauth_identities", secret=tokens, noise=(*tokens, "expires_at", "last_used_at"))
    # Nobody's rows: the app reaches them through the functions alone.
    op.create_table(
        "oauth_states",
        sa.Column("state_sha256", sa.LargeBinary, nullable=False),
        sa.Column("binding_sha256", sa.LargeBinary, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("redirect_uri", sa.Text, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("state_sha256", name=op.f("pk_oauth_states")),
    )
    op.create_index(op.f("ix_oauth_states_expires_at"), "oauth_states", ["expires_at"])
    for signature, definition in FUNCTIONS.items():
        install_function(signature, definition)


def downgrade() -> None:
    for signature in FUNCTIONS:
        op.execute(f"DROP FUNCTION {signature}")
    op.drop_table("oauth_states")
    op.drop_table("oauth_identities")
