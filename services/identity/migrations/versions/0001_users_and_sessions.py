"""People, their sessions and refresh tokens, and the two look-ups that come before a caller is known."""

import sqlalchemy as sa
from alembic import op

from services.kit.migrate import install_function, protect

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Before a caller is known row security shows nobody's rows; each answers one exact key.
FUNCTIONS = {
    "find_credentials(text)": """
        CREATE FUNCTION find_credentials(email text) RETURNS TABLE (user_id uuid, password_hash text)
        LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
          SELECT users.id, users.password_hash FROM public.users
          WHERE users.email = $1 AND users.deleted_at IS NULL
        $$
    """,
    "find_refresh_token(bytea)": """
        CREATE FUNCTION find_refresh_token(token_sha256 bytea) RETURNS TABLE (user_id uuid, session_id uuid)
        LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
          SELECT refresh_tokens.user_id, refresh_tokens.session_id FROM public.refresh_tokens
          WHERE refresh_tokens.token_sha256 = $1
        $$
    """,
}


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("password_hash", sa.Text, comment="Argon2id in the PHC string format; null without a password"),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False, server_default="user"),
        sa.Column("last_login_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.CheckConstraint(
            'email = lower(email COLLATE "C") AND char_length(email) BETWEEN 3 AND 254', name=op.f("ck_users_email")
        ),
        sa.CheckConstraint("char_length(display_name) BETWEEN 1 AND 100", name=op.f("ck_users_display_name")),
        sa.CheckConstraint("role IN ('user', 'coach', 'admin')", name=op.f("ck_users_role")),
    )
    op.create_index(
        op.f("uq_users_email_living"), "users", ["email"], unique=True, postgresql_where=sa.text("deleted_at IS NULL")
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_reason", sa.Text),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("user_id", "id", name=op.f("uq_sessions_user_id_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sessions_user_id_users"), ondelete="CASCADE"),
        sa.CheckConstraint("(revoked_at IS NULL) = (revoked_reason IS NULL)", name=op.f("ck_sessions_revoked")),
        sa.CheckConstraint(
            "revoked_reason IN ('logged_out', 'refresh_token_reused')", name=op.f("ck_sessions_revoked_reason")
        ),
    )
    op.create_table(
        "refresh_tokens",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("session_id", sa.Uuid, nullable=False),
        sa.Column("token_sha256", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True)),
        sa.Column("replaced_by", sa.Uuid),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refresh_tokens")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_refresh_tokens_token_sha256")),
        sa.ForeignKeyConstraint(
            ["user_id", "session_id"],
            ["sessions.user_id", "sessions.id"],
            name=op.f("fk_refresh_tokens_user_id_session_id_sessions"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("octet_length(token_sha256) = 32", name=op.f("ck_refresh_tokens_token_sha256")),
        sa.CheckConstraint("(used_at IS NULL) = (replaced_by IS NULL)", name=op.f("ck_refresh_tokens_used")),
    )
    op.create_index(op.f("ix_refresh_tokens_user_id_session_id"), "refresh_tokens", ["user_id", "session_id"])

    protect("users", owner_column="id", verbs="SELECT, INSERT, UPDATE")
    protect("sessions", verbs="SELECT, INSERT, UPDATE")
    protect("refresh_tokens", verbs="SELECT, INSERT, UPDATE")
    for signature, definition in FUNCTIONS.items():
        install_function(signature, definition)


def downgrade() -> None:
    for signature in FUNCTIONS:
        op.execute(f"DROP FUNCTION {signature}")
    op.drop_table("refresh_tokens")
    op.drop_table("sessions")
    op.drop_table("users")
