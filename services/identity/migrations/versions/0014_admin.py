"""What administrators need to see of people besides one person's own rows."""

import sqlalchemy as sa
from alembic import op

from services.kit.migrate import install_function

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

HEAD = "SECURITY DEFINER SET search_path = pg_catalog, pg_temp"
FUNCTIONS = {
    # Whether the transaction's actor is an administrator now.
    "acting_admin()": f"""
        CREATE FUNCTION acting_admin() RETURNS boolean
        LANGUAGE sql STABLE {HEAD}
        AS $$
          SELECT current_setting('app.role', true) IS NOT DISTINCT FROM 'admin' AND EXISTS (
            SELECT FROM public.users
            WHERE users.id::text = current_setting('app.actor_id', true)
              AND users.role = 'admin' AND users.account_status = 'active' AND users.deleted_at IS NULL)
        $$
    """,
    "other_admins(uuid)": f"""
        CREATE FUNCTION other_admins(person uuid) RETURNS bigint
        LANGUAGE sql STABLE STRICT {HEAD}
        AS $$
          SELECT count(*) FROM public.users
          WHERE users.role = 'admin' AND users.account_status = 'active' AND users.deleted_at IS NULL
            AND users.id <> $1
        $$
    """,
    # Planned anew each time: which index serves depends on what is asked for.
    "list_people(text, text, text, uuid, integer)": f"""
        CREATE FUNCTION list_people(status text, having_role text, email_prefix text, before uuid, most integer)
        RETURNS TABLE (
          id uuid, email text, email_verified_at timestamptz, display_name text, username text, role text,
          account_status text, suspended_at timestamptz, suspended_reason text, last_login_at timestamptz,
          created_at timestamptz, deleted_at timestamptz, account_id uuid, is_account_owner boolean,
          subscription_tier text, subscription_status text, subscription_expires_at timestamptz,
          stripe_customer_id text, max_users smallint)
        LANGUAGE plpgsql STABLE {HEAD} SET plan_cache_mode = force_custom_plan
        AS $$
        BEGIN
          IF NOT public.acting_admin() THEN RETURN; END IF;
          RETURN QUERY
            SELECT u.id, u.email, u.email_verified_at, u.display_name, u.username, u.role,
              u.account_status, u.suspended_at, u.suspended_reason, u.last_login_at,
              u.created_at, u.deleted_at, u.account_id, a.owner_id = u.id,
              a.subscription_tier, a.subscription_status, a.subscription_expires_at,
              a.stripe_customer_id, a.max_users
            FROM public.users u JOIN public.accounts a ON a.id = u.account_id
            WHERE CASE WHEN status = '' THEN u.deleted_at IS NULL ELSE u.account_status = status END
              AND (having_role = '' OR u.role = having_role)
              AND (email_prefix = '' OR starts_with(u.email, email_prefix))
              AND (before IS NULL OR u.id < before)
            ORDER BY u.id DESC LIMIT most;
        END
        $$
    """,
}


def upgrade() -> None:
    for signature, definition in FUNCTIONS.items():
        install_function(signature, definition)
    op.create_index(op.f("ix_users_email"), "users", ["email"], postgresql_ops={"email": "text_pattern_ops"})
    op.create_index(op.f("ix_users_administrators"), "users", ["id"], postgresql_where=sa.text("role = 'admin'"))


def downgrade() -> None:
    op.drop_index(op.f("ix_users_administrators"), "users")
    op.drop_index(op.f("ix_users_email"), "users")
    for signature in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION {signature}")
