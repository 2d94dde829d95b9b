"""Tables partitioned by year, and the function with which the app role makes their partitions ahead.

The audit log is partitioned by quarter, see audit_schema.py.
"""

from alembic import op

from services.kit.roles import APP_GROUP

FIRST_YEAR = 2000
YEARS_AHEAD = 2

# With variables `parent`, `partition` and `policy`. A partition is attached
# rather than created in place, because that lets others read and write
# meanwhile; it is as protected as its parent.
MAKE_ONE_PARTITION = """
    EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING ALL EXCLUDING INDEXES EXCLUDING IDENTITY)',
      partition, parent);
    EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', partition);
    FOR policy IN SELECT policyname, qual, with_check FROM pg_policies
      WHERE schemaname = 'public' AND tablename = parent LOOP
      EXECUTE format('CREATE POLICY %I ON public.%I USING (%s) WITH CHECK (%s)',
        policy.policyname, partition, policy.qual, policy.with_check);
    END LOOP;
    EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
      parent, partition, {first}, {after});
"""

# The app role may create nothing, so this runs as its owner, the migrator. It
# takes only a table that the migrator partitioned by range, and only years that
# make sense; names and bounds are quoted by format().
MAKE_PARTITIONS = f"""
CREATE OR REPLACE FUNCTION public.make_partitions(parent text, first_year integer, last_year integer)
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '5s'
AS $body$
DECLARE
  policy record;
  partition text;
  made integer := 0;
BEGIN
  IF first_year IS NULL OR last_year IS NULL OR first_year > last_year
    OR first_year < 1900 OR last_year > extract(year FROM now())::integer + 5 THEN
    RAISE EXCEPTION 'years must lie between 1900 and five years from now' USING ERRCODE = '22023';
  END IF;
  PERFORM FROM pg_class c JOIN pg_partitioned_table p ON p.partrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relname = parent
      AND c.relowner = current_user::regrole AND p.partstrat = 'r' AND NOT c.relispartition;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the table is not partitioned by year' USING ERRCODE = '42P01';
  END IF;
  EXECUTE format('LOCK TABLE public.%I IN SHARE UPDATE EXCLUSIVE MODE', parent);
  FOR year IN first_year..last_year LOOP
    partition := format('%s_%s', parent, year);
    CONTINUE WHEN to_regclass(format('public.%I', partition)) IS NOT NULL;
{MAKE_ONE_PARTITION.format(first="make_date(year, 1, 1)", after="make_date(year + 1, 1, 1)")}
    made := made + 1;
  END LOOP;
  RETURN made;
END
$body$
"""


def install_partitions() -> None:
    """Creates `make_partitions(parent, first_year, last_year)`; returns how many were missing and are made.

    Raises SQLSTATE 22023 for years outside 1900 to five years from now and
    42P01 for a table that is not partitioned.
    """
    op.execute(MAKE_PARTITIONS)
    op.execute("REVOKE ALL ON FUNCTION public.make_partitions(text, integer, integer) FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION public.make_partitions(text, integer, integer) TO {APP_GROUP}")


def uninstall_partitions() -> None:
    op.execute("DROP FUNCTION public.make_partitions(text, integer, integer)")


def partition_by_year(table: str, first_year: int = FIRST_YEAR) -> None:
    """Makes the partitions of a table that was created with `postgresql_partition_by="RANGE (<date>)"`.

    From `first_year` to two years from now; the service's scheduled job goes on
    from there. A row outside of them is refused with SQLSTATE 23514.
    """
    op.execute(
        f"SELECT public.make_partitions('{table}', {first_year}, extract(year FROM now())::integer + {YEARS_AHEAD})"
    )
