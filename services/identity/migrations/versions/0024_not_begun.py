"""Administrators find who has signed up and not begun their onboarding."""

import sqlalchemy as sa
from alembic import op

from services.kit.migrate import install_function

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

SIGNATURE = "list_people_not_begun(uuid, integer)"
DEFINITION = """
    CREATE FUNCTION list_people_not_begun(before uuid, most integer)
    RETURNS TABLE (user_id uuid, email text, display_name text, signed_up_at timestamptz)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
    AS $$
    BEGIN
      IF NOT public.acting_admin() THEN RETURN; END IF;
      RETURN QUERY
        SELECT u.id, u.email, u.display_name, u.created_at
        FROM public.users u
        WHERE u.onboarding_completed_at IS NULL AND u.deleted_at IS NULL
          AND (before IS NULL OR u.id < before)
          AND NOT EXISTS (SELECT FROM public.onboarding_states s WHERE s.user_id = u.id)
        ORDER BY u.id DESC LIMIT most;
    END
    $$
"""


def upgrade() -> None:
    op.create_index(
        op.f("ix_users_not_onboarded"),
        "users",
        ["id"],
        postgresql_where=sa.text("onboarding_completed_at IS NULL AND deleted_at IS NULL"),
    )
    install_function(SIGNATURE, DEFINITION)


def downgrade() -> None:
    op.execute(f"DROP FUNCTION {SIGNATURE}")
    op.drop_index(op.f("ix_users_not_onboarded"), "users")
