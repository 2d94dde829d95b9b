"""Proving an address, forgotten passwords, old passwords, attempts to log in, and where a session was used."""

import sqlalchemy as sa
from alembic import op

from services.kit.audit_schema import audit_table
from services.kit.migrate import install_function, protect

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

BEFORE = "revoked_reason IN ('logged_out', 'refresh_token_reused')"
REASONS = (
    "revoked_reason IN ('logged_out', 'refresh_token_reused', 'revoked', 'password_changed', 'password_reset',"
    " 'forced', 'suspended', 'deleted')"
)
PLACES = ("user_agent", "address", "last_address")

FUNCTIONS = {
    # Whose a single-use token is, while it can be used.
    "find_verification_token(bytea, text)": """
        CREATE FUNCTION find_verification_token(token_sha256 bytea, kind text) RETURNS TABLE (user_id uuid)
        LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
          SELECT tokens.user_id FROM public.verification_tokens tokens
          WHERE tokens.token_sha256 = $1 AND tokens.kind = $2 AND tokens.used_at IS NULL AND tokens.expires_at > now()
        $$
    """,
    # Of several who asked for one address the one who asked last.
    "find_unverified(text)": """
        CREATE FUNCTION find_unverified(email text) RETURNS TABLE (user_id uuid)
        LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
          SELECT users.id FROM public.users
          WHERE users.email = $1 AND users.deleted_at IS NULL AND users.email_verified_at IS NULL
          ORDER BY users.created_at DESC, users.id DESC LIMIT 1
        $$
    """,
    # The delay after so many failures in a row: doubling, and never more than a quarter of an hour.
    "attempt_delay(integer, integer)": """
        CREATE FUNCTION attempt_delay(failures integer, free integer) RETURNS interval
        LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
        AS $$
          SELECT CASE WHEN $1 < $2 THEN interval '0'
            ELSE make_interval(secs => least(900, 2 ^ least($1 - $2, 10))) END
        $$
    """,
    # Counts an attempt as failed before it is made, so that many at once are no way around; the seconds to wait
    # if it may not be made, in which case it is not counted.
    "count_attempt(bytea, bytea, integer, integer)": """
        CREATE FUNCTION count_attempt(pair bytea, account bytea, pair_free integer, account_free integer)
        RETURNS double precision
        LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
        DECLARE
          here public.attempts;
          anywhere public.attempts;
          is_known boolean;
          waits interval;
        BEGIN
          INSERT INTO public.attempts (key) VALUES (pair), (account) ON CONFLICT (key) DO NOTHING;
          SELECT * INTO here FROM public.attempts WHERE key = pair FOR UPDATE;
          is_known := coalesce(here.succeeded_at > now() - interval '90 days', false);
          waits := here.blocked_until - now();
          IF NOT is_known THEN
            SELECT * INTO anywhere FROM public.attempts WHERE key = account FOR UPDATE;
            waits := greatest(waits, anywhere.blocked_until - now());
          END IF;
          IF waits > interval '0' THEN
            RETURN extract(epoch FROM waits);
          END IF;
          UPDATE public.attempts a SET
            failures = f.failures,
            -- Never the present: to who has begun a moment earlier that would be the future.
            blocked_until = CASE WHEN f.failures < f.free THEN '-infinity'
              ELSE now() + public.attempt_delay(f.failures, f.free) END,
            last_at = now()
          FROM (
            SELECT b.key, CASE WHEN b.last_at < now() - interval '1 day' THEN 1 ELSE b.failures + 1 END AS failures,
              CASE WHEN b.key = pair THEN pair_free ELSE account_free END AS free
            FROM public.attempts b WHERE b.key = pair OR (b.key = account AND NOT is_known)
          ) f WHERE a.key = f.key;
          RETURN 0;
        END
        $$
    """,
    # After a success: from here the person is known.
    "forgive_attempts(bytea, bytea)": """
        CREATE FUNCTION forgive_attempts(pair bytea, account bytea) RETURNS void
        LANGUAGE sql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
          INSERT INTO public.attempts (key, succeeded_at) VALUES (pair, now())
          ON CONFLICT (key) DO UPDATE
            SET failures = 0, blocked_until = '-infinity', last_at = now(), succeeded_at = now();
          UPDATE public.attempts SET failures = 0, blocked_until = '-infinity' WHERE key = account AND failures > 0
        $$
    """,
    # Whether one more of something may happen within the hour that began with the first.
    "take_allowance(bytea, integer)": """
        CREATE FUNCTION take_allowance(what bytea, most integer) RETURNS boolean
        LANGUAGE sql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
          INSERT INTO public.attempts AS a (key, failures, blocked_until) VALUES ($1, 1, now() + interval '1 hour')
          ON CONFLICT (key) DO UPDATE SET
            failures = CASE WHEN a.blocked_until < now() THEN 1 ELSE a.failures + 1 END,
            blocked_until = CASE WHEN a.blocked_until < now() THEN now() + interval '1 hour' ELSE a.blocked_until END,
            last_at = now()
          RETURNING a.failures <= $2
        $$
    """,
    # What has outlived its use: attempts after a day (an address that was logged in from: 90 days), tokens that
    # prove something and refresh tokens 30 days after their end, sessions without any, registrations that nobody
    # has verified within a week.
    "forget_logins()": """
        CREATE FUNCTION forget_logins() RETURNS bigint
        LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
        DECLARE
          total bigint := 0;
          part bigint;
          people uuid[];
        BEGIN
          DELETE FROM public.attempts WHERE last_at < now() - interval '1 day'
            AND (succeeded_at IS NULL OR succeeded_at < now() - interval '90 days');
          GET DIAGNOSTICS part = ROW_COUNT; total := total + part;
          DELETE FROM public.verification_tokens WHERE coalesce(used_at, expires_at) < now() - interval '30 days';
          GET DIAGNOSTICS part = ROW_COUNT; total := total + part;
          DELETE FROM public.refresh_tokens WHERE expires_at < now() - interval '30 days';
          GET DIAGNOSTICS part = ROW_COUNT; total := total + part;
          DELETE FROM public.sessions WHERE expires_at < now() - interval '30 days'
            OR revoked_at < now() - interval '30 days';
          GET DIAGNOSTICS part = ROW_COUNT; total := total + part;
          -- Two statements: what is left of an account when a person goes is settled by a trigger.
          WITH gone AS (
            DELETE FROM public.users
            WHERE email_verified_at IS NULL AND deleted_at IS NULL AND created_at < now() - interval '7 days'
              AND last_login_at IS NULL
            RETURNING id
          )
          SELECT array_agg(id) INTO people FROM gone;
          DELETE FROM public.accounts a WHERE a.owner_id = ANY (people)
            AND NOT EXISTS (SELECT FROM public.users u WHERE u.account_id = a.id);
          GET DIAGNOSTICS part = ROW_COUNT;
          -- Somebody else may have given their address; nothing of it stays.
          PERFORM public.audit_forget(people);
          RETURN total + part;
        END
        $$
    """,
}


def upgrade() -> None:
    op.create_table(
        "verification_tokens",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("token_sha256", sa.LargeBinary, nullable=False),
        sa.Column("email", sa.Text, comment="the address to change to"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verification_tokens")),
        sa.UniqueConstraint("user_id", "kind", name=op.f("uq_verification_tokens_user_id_kind")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_verification_tokens_token_sha256")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_verification_tokens_user_id_users"), ondelete="CASCADE"
        ),
        sa.CheckConstraint(
            "kind IN ('email_verify', 'password_reset', 'email_change')", name=op.f("ck_verification_tokens_kind")
        ),
        sa.CheckConstraint("octet_length(token_sha256) = 32", name=op.f("ck_verification_tokens_token_sha256")),
        sa.CheckConstraint("(email IS NOT NULL) = (kind = 'email_change')", name=op.f("ck_verification_tokens_email")),
    )
    protect("verification_tokens")
    audit_table("verification_tokens")
    op.create_table(
        "password_history",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_password_history")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_password_history_user_id_users"), ondelete="CASCADE"
        ),
    )
    op.create_index(op.f("ix_password_history_user_id_created_at"), "password_history", ["user_id", "created_at"])
    protect("password_history", verbs="SELECT, INSERT, DELETE")
    op.create_table(
        "attempts",
        sa.Column("key", sa.LargeBinary, nullable=False, comment="HMAC of what is counted: nobody's id stands here"),
        sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
        sa.Column("blocked_until", sa.DateTime(timezone=True), nullable=False, server_default="-infinity"),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("succeeded_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_attempts")),
        sa.CheckConstraint("octet_length(key) = 32", name=op.f("ck_attempts_key")),
    )
    for name in PLACES:
        op.add_column("sessions", sa.Column(name, sa.Text))
        longest = 400 if name == "user_agent" else 45
        op.create_check_constraint(op.f(f"ck_sessions_{name}"), "sessions", f"char_length({name}) <= {longest}")
    op.drop_constraint(op.f("ck_sessions_revoked_reason"), "sessions")
    op.create_check_constraint(op.f("ck_sessions_revoked_reason"), "sessions", REASONS)
    audit_table("sessions", noise=("last_used_at", "last_address"))
    for signature, definition in FUNCTIONS.items():
        install_function(signature, definition)


def downgrade() -> None:
    for signature in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION {signature}")
    op.drop_constraint(op.f("ck_sessions_revoked_reason"), "sessions")
    op.execute("UPDATE sessions SET revoked_reason = 'logged_out' WHERE NOT (" + BEFORE + ")")
    op.create_check_constraint(op.f("ck_sessions_revoked_reason"), "sessions", BEFORE)
    audit_table("sessions", noise=("last_used_at",))
    for name in PLACES:
        op.drop_column("sessions", name)
    op.drop_table("attempts")
    op.drop_table("password_history")
    op.drop_table("verification_tokens")
