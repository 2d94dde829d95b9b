"""What a CHECK cannot say of coaching profiles: versions never change, meals lie apart, equipment is known."""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

FUNCTIONS = {
    # One version after the other, without a gap in their numbers and without two at a time.
    "next_profile_version": """
        CREATE FUNCTION next_profile_version() RETURNS trigger
        LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
        AS $$
        DECLARE
          last record;
        BEGIN
          SELECT version, valid_until INTO last FROM public.user_profile_versions
            WHERE user_id = NEW.user_id ORDER BY version DESC LIMIT 1;
          IF NEW.version <> coalesce(last.version, 0) + 1 THEN
            RAISE EXCEPTION 'versions are numbered one after the other'
              USING ERRCODE = '23514', TABLE = TG_TABLE_NAME, CONSTRAINT = 'next_version';
          END IF;
          IF last.version IS NOT NULL AND (last.valid_until IS NULL OR NEW.valid_from < last.valid_until) THEN
            RAISE EXCEPTION 'the version before has not ended'
              USING ERRCODE = '23514', TABLE = TG_TABLE_NAME, CONSTRAINT = 'one_version_at_a_time';
          END IF;
          RETURN NEW;
        END
        $$
    """,
    # A version ends once. Who made it is forgotten when their account is erased.
    "keep_profile_version": """
        CREATE FUNCTION keep_profile_version() RETURNS trigger
        LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
        AS $$
        DECLARE
          kept public.user_profile_versions := NEW;
        BEGIN
          kept.valid_until := OLD.valid_until;
          kept.changed_by_id := OLD.changed_by_id;
          IF kept IS DISTINCT FROM OLD
            OR (OLD.valid_until IS NOT NULL AND NEW.valid_until IS DISTINCT FROM OLD.valid_until)
            OR (NEW.changed_by_id IS NOT NULL AND NEW.changed_by_id IS DISTINCT FROM OLD.changed_by_id) THEN
            RAISE EXCEPTION 'a version does not change' USING ERRCODE = '42501';
          END IF;
          RETURN NEW;
        END
        $$
    """,
    # A meal takes its window; without an earliest or latest time, from or until when it is scheduled.
    "keep_meals_apart": """
        CREATE FUNCTION keep_meals_apart() RETURNS trigger
        LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
        AS $$
        BEGIN
          IF EXISTS (
            WITH meals AS (
              SELECT meal_number, coalesce(earliest_time, scheduled_time) AS first,
                coalesce(latest_time, scheduled_time) AS last
              FROM public.meal_schedules WHERE user_id = NEW.user_id AND is_active)
            SELECT FROM meals AS one JOIN meals AS other ON one.meal_number <> other.meal_number
            WHERE one.first <= other.first AND (other.first < one.last OR other.first = one.first)
          ) THEN
            RAISE EXCEPTION 'meals overlap'
              USING ERRCODE = '23514', TABLE = TG_TABLE_NAME, CONSTRAINT = 'meals_apart';
          END IF;
          RETURN NULL;
        END
        $$
    """,
    # As the owner, for the app does not read the list's table.
    "know_equipment": """
        CREATE FUNCTION know_equipment() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
        BEGIN
          IF NOT NEW.available_equipment <@ (SELECT array_agg(code) FROM public.ref_equipment_types) THEN
            RAISE EXCEPTION 'equipment that is not in the list'
              USING ERRCODE = '23514', TABLE = TG_TABLE_NAME, CONSTRAINT = 'available_equipment';
          END IF;
          RETURN NEW;
        END
        $$
    """,
}
TRIGGERS = {
    "next_version": "BEFORE INSERT ON user_profile_versions FOR EACH ROW EXECUTE FUNCTION next_profile_version()",
    "keep_version": "BEFORE UPDATE ON user_profile_versions FOR EACH ROW EXECUTE FUNCTION keep_profile_version()",
    "know_equipment": "BEFORE INSERT OR UPDATE ON physical_constraints FOR EACH ROW EXECUTE FUNCTION know_equipment()",
}
# At the end of the transaction, so that meals can change places.
MEALS_APART = """
    CREATE CONSTRAINT TRIGGER meals_apart AFTER INSERT OR UPDATE ON meal_schedules
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION keep_meals_apart()
"""


def upgrade() -> None:
    for name, definition in FUNCTIONS.items():
        op.execute(definition)
        op.execute(f"REVOKE ALL ON FUNCTION {name}() FROM PUBLIC")
    for name, trigger in TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {name} {trigger}")
    op.execute(MEALS_APART)


def downgrade() -> None:
    for name in FUNCTIONS:
        op.execute(f"DROP FUNCTION {name}() CASCADE")
