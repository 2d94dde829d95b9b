"""Second factors: authenticator apps, passkeys, recovery codes, and the challenges between two steps of a log-in."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from services.kit.audit_schema import audit_table
from services.kit.migrate import install_function, protect

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# Before a caller is known row security shows nobody's rows; each answers one exact key.
FUNCTIONS = {
    "find_log_in(bytea)": """
        CREATE FUNCTION find_log_in(token_sha256 bytea) RETURNS TABLE (user_id uuid)
        LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
          SELECT challenges.user_id FROM public.challenges
          WHERE challenges.token_sha256 = $1 AND challenges.purpose = 'log_in'
        $$
    """,
    "begin_passkey_log_in(bytea, interval)": """
        CREATE FUNCTION begin_passkey_log_in(token_sha256 bytea, lifetime interval) RETURNS timestamptz
        LANGUAGE sql STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
          INSERT INTO public.passkey_log_ins (token_sha256, expires_at) VALUES ($1, now() + $2) RETURNING expires_at
        $$
    """,
    "take_passkey_log_in(bytea)": """
        CREATE FUNCTION take_passkey_log_in(token_sha256 bytea) RETURNS boolean
        LANGUAGE sql STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
          WITH taken AS (
            DELETE FROM public.passkey_log_ins WHERE passkey_log_ins.token_sha256 = $1 RETURNING expires_at
          )
          SELECT EXISTS (SELECT FROM taken WHERE expires_at > now())
        $$
    """,
    "forget_challenges()": """
        CREATE FUNCTION forget_challenges() RETURNS void
        LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
          DELETE FROM public.challenges WHERE expires_at < now();
          DELETE FROM public.passkey_log_ins WHERE expires_at < now();
          DELETE FROM public.totp_factors WHERE confirmed_at IS NULL AND created_at < now() - interval '1 day'
        $$
    """,
}


def to_user(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["user_id"], ["users.id"], name=op.f(f"fk_{table}_user_id_users"), ondelete="CASCADE"
    )


def upgrade() -> None:
    op.create_table(
        "challenges",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("token_sha256", sa.LargeBinary, nullable=False),
        sa.Column("tries", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_challenges")),
        to_user("challenges"),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_challenges_token_sha256")),
        sa.CheckConstraint("purpose IN ('log_in', 'registration', 'proof')", name=op.f("ck_challenges_purpose")),
        sa.CheckConstraint("octet_length(token_sha256) = 32", name=op.f("ck_challenges_token_sha256")),
        sa.CheckConstraint("tries BETWEEN 0 AND 5", name=op.f("ck_challenges_tries")),
    )
    op.create_index(op.f("ix_challenges_user_id"), "challenges", ["user_id"])
    op.create_table(
        "passkey_log_ins",
        sa.Column("token_sha256", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_passkey_log_ins")),
        sa.CheckConstraint("octet_length(token_sha256) = 32", name=op.f("ck_passkey_log_ins_token_sha256")),
    )
    op.create_table(
        "totp_factors",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("secret", sa.LargeBinary, nullable=False, comment="base32, encrypted, see kit/vault.py"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("confirmed_at", sa.DateTime(timezone=True)),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.Column("last_step", sa.BigInteger, comment="the last time step accepted, in 30 s since 1970"),
        sa.Column("failures", sa.Integer, nullable=False, server_default="0", comment="wrong codes in a row"),
        sa.Column("blocked_until", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_totp_factors")),
        to_user("totp_factors"),
        sa.CheckConstraint("failures >= 0", name=op.f("ck_totp_factors_failures")),
    )
    op.create_index(
        op.f("uq_totp_factors_user_id_confirmed"),
        "totp_factors",
        ["user_id"],
        unique=True,
        postgresql_where=sa.text("confirmed_at IS NOT NULL"),
    )
    op.create_index(
        op.f("uq_totp_factors_user_id_begun"),
        "totp_factors",
        ["user_id"],
        unique=True,
        postgresql_where=sa.text("confirmed_at IS NULL"),
    )
    op.create_table(
        "recovery_codes",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("code_sha256", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("used_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery_codes")),
        to_user("recovery_codes"),
        sa.UniqueConstraint("user_id", "code_sha256", name=op.f("uq_recovery_codes_user_id_code_sha256")),
        sa.CheckConstraint("octet_length(code_sha256) = 32", name=op.f("ck_recovery_codes_code_sha256")),
    )
    op.create_table(
        "passkeys",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("credential_id", sa.LargeBinary, nullable=False),
        sa.Column("public_key", sa.LargeBinary, nullable=False, comment="COSE_Key"),
        sa.Column("sign_count", sa.BigInteger, nullable=False),
        sa.Column("transports", postgresql.ARRAY(sa.Text), nullable=False),
        sa.Column("backed_up", sa.Boolean, nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.Column("copy_suspected_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_passkeys")),
        to_user("passkeys"),
        sa.UniqueConstraint("user_id", "credential_id", name=op.f("uq_passkeys_user_id_credential_id")),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 100", name=op.f("ck_passkeys_name")),
        sa.CheckConstraint("octet_length(credential_id) BETWEEN 1 AND 1023", name=op.f("ck_passkeys_credential_id")),
        sa.CheckConstraint("sign_count BETWEEN 0 AND 4294967295", name=op.f("ck_passkeys_sign_count")),
    )
    for table in ("challenges", "totp_factors", "recovery_codes", "passkeys"):
        protect(table)
    audit_table("totp_factors", noise=("last_step", "last_used_at"))
    audit_table("recovery_codes")
    audit_table("passkeys", noise=("sign_count", "last_used_at"), secret=("credential_id", "public_key"))
    for signature, definition in FUNCTIONS.items():
        install_function(signature, definition)


def downgrade() -> None:
    for signature in FUNCTIONS:
        op.execute(f"DROP FUNCTION {signature}")
    for table in ("passkeys", "recovery_codes", "totp_factors", "passkey_log_ins", "challenges"):
        op.drop_table(table)
