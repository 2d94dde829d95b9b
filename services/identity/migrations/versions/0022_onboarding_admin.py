"""What administrators see of onboardings, and the consent that a reset takes."""

from alembic import op

from services.kit.migrate import install_function

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

HEAD = "SECURITY DEFINER SET search_path = pg_catalog, pg_temp"
PURPOSES = "'terms', 'privacy_policy', 'mental_wellness_processing', 'sharing', 'research', 'marketing'"
BEGUN = """
            SELECT b.user_id, b.onboarding_id, min(b.started_at) AS started_at
            FROM public.onboarding_step_events b
            WHERE b.step = 0 AND b.started_at >= since AND b.started_at <= until
              AND (version = '' OR b.flow_version = version)
            GROUP BY b.user_id, b.onboarding_id
"""
FUNCTIONS = {
    # Planned anew each time: which conditions there are depends on what is asked for.
    "list_incomplete_onboardings(text, integer, timestamptz, timestamptz, timestamptz, timestamptz,"
    " timestamptz, uuid, integer)": f"""
        CREATE FUNCTION list_incomplete_onboardings(
          version text, at_step integer, began_from timestamptz, began_until timestamptz,
          active_from timestamptz, active_until timestamptz, before timestamptz, before_user uuid, most integer)
        RETURNS TABLE (
          user_id uuid, email text, display_name text, flow_version text, current_step smallint,
          completed_steps smallint[], started_at timestamptz, last_activity_at timestamptz, device_type text)
        LANGUAGE plpgsql STABLE {HEAD} SET plan_cache_mode = force_custom_plan
        AS $$
        BEGIN
          IF NOT public.acting_admin() THEN RETURN; END IF;
          RETURN QUERY
            SELECT s.user_id, u.email, u.display_name, s.flow_version, s.current_step,
              s.completed_steps, s.started_at, s.last_activity_at, s.device_type
            FROM public.onboarding_states s JOIN public.users u ON u.id = s.user_id
            WHERE s.completed_at IS NULL AND u.deleted_at IS NULL
              AND (version = '' OR s.flow_version = version)
              AND (at_step IS NULL OR s.current_step = at_step)
              AND (began_from IS NULL OR s.started_at >= began_from)
              AND (began_until IS NULL OR s.started_at < began_until)
              AND (active_from IS NULL OR s.last_activity_at >= active_from)
              AND (active_until IS NULL OR s.last_activity_at < active_until)
              AND (before IS NULL OR (s.last_activity_at, s.user_id) < (before, before_user))
            ORDER BY s.last_activity_at DESC, s.user_id DESC LIMIT most;
        END
        $$
    """,
    # The first step is on the screen before anything is known of it: it takes no time here, which is none.
    "onboarding_step_figures(text, timestamptz, timestamptz)": f"""
        CREATE FUNCTION onboarding_step_figures(version text, since timestamptz, until timestamptz)
        RETURNS TABLE (
          flow_version text, step smallint, step_name text, started bigint, completed bigint,
          completion_rate_pct double precision, median_seconds double precision, average_seconds double precision,
          drop_off bigint, drop_off_rate_pct double precision)
        LANGUAGE plpgsql STABLE {HEAD} SET plan_cache_mode = force_custom_plan
        AS $$
        BEGIN
          IF NOT public.acting_admin() THEN RETURN; END IF;
          RETURN QUERY
            SELECT e.flow_version, e.step, e.step_name, count(*), count(e.completed_at),
              round(100.0 * count(e.completed_at) / count(*), 2)::float8,
              percentile_cont(0.5) WITHIN GROUP (ORDER BY t.seconds), avg(t.seconds)::float8,
              count(*) - count(e.completed_at),
              round(100.0 * (count(*) - count(e.completed_at)) / count(*), 2)::float8
            FROM ({BEGUN}) AS begun
              JOIN public.onboarding_step_events e USING (user_id, onboarding_id)
              CROSS JOIN LATERAL (
                SELECT nullif(extract(epoch FROM e.completed_at - e.started_at), 0)::float8 AS seconds) AS t
            WHERE version = '' OR e.flow_version = version
            GROUP BY e.flow_version, e.step, e.step_name
            ORDER BY e.flow_version, e.step;
        END
        $$
    """,
    "onboarding_day_figures(text, timestamptz, timestamptz)": f"""
        CREATE FUNCTION onboarding_day_figures(version text, since timestamptz, until timestamptz)
        RETURNS TABLE (
          date text, started bigint, completed bigint, completion_rate_pct double precision,
          average_completion_minutes double precision)
        LANGUAGE plpgsql STABLE {HEAD} SET plan_cache_mode = force_custom_plan
        AS $$
        BEGIN
          IF NOT public.acting_admin() THEN RETURN; END IF;
          RETURN QUERY
            SELECT to_char(begun.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, count(*), count(e.completed_at),
              round(100.0 * count(e.completed_at) / count(*), 2)::float8,
              avg(extract(epoch FROM e.completed_at - begun.started_at) / 60)::float8
            FROM ({BEGUN}) AS begun
              LEFT JOIN public.onboarding_step_events e ON e.user_id = begun.user_id
                AND e.onboarding_id = begun.onboarding_id AND e.step_name = 'confirmation'
                AND e.completed_at IS NOT NULL
            GROUP BY day ORDER BY day DESC;
        END
        $$
    """,
}


def upgrade() -> None:
    for signature, definition in FUNCTIONS.items():
        install_function(signature, definition)
    op.drop_constraint(op.f("ck_consents_purpose"), "consents")
    op.create_check_constraint(op.f("ck_consents_purpose"), "consents", f"purpose IN ({PURPOSES}, 'onboarding_reset')")


def downgrade() -> None:
    op.execute("DELETE FROM consents WHERE purpose = 'onboarding_reset'")
    op.drop_constraint(op.f("ck_consents_purpose"), "consents")
    op.create_check_constraint(op.f("ck_consents_purpose"), "consents", f"purpose IN ({PURPOSES})")
    for signature in FUNCTIONS:
        op.execute(f"DROP FUNCTION {signature}")
