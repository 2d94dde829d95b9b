"""The audit log in the database: its table, what writes it, and what guards it.

The app may read the log and nothing else. What enters it is written by
functions that run as its owner: triggers on the audited tables, and
`record_audit` for events. Who, for whom and from where they take from the
settings of the transaction (`app.*`, see database.py); when, from the clock.
Nothing that the app passes decides whose trail a row is in.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from services.kit.migrate import protect
from services.kit.partitions import MAKE_ONE_PARTITION
from services.kit.roles import APP_GROUP

QUARTERS_AHEAD = 8
# Rows about another person than the one who acted: found when that one is erased.
FOREIGN = "(user_id::text IS DISTINCT FROM action_by) AND action_by NOT LIKE 'service:%'"
# Whatever a table is said to keep secret, columns with such names are.
SECRET_NAMES = "password|secret|token|_hash$|_sha256$"
# A client chooses them, and a log line has no use for more.
LONGEST_ADDRESS, LONGEST_USER_AGENT, LONGEST_REQUEST_ID = 64, 512, 128

INTERNAL_FUNCTIONS = {
    "audit_append(uuid, text, text, text, jsonb, jsonb)": f"""
        CREATE FUNCTION audit_append(
          trail uuid, changed_table text, record text, what text, before jsonb, after jsonb
        ) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
        AS $$
        DECLARE
          moment timestamptz := clock_timestamp();
          day date := (moment AT TIME ZONE 'UTC')::date;
        BEGIN
          -- The worker makes partitions ahead; should it not have run for that
          -- long, a person's write makes the missing one rather than fail.
          IF to_regclass('public.audit_log_' || to_char(day, 'YYYY"q"Q')) IS NULL THEN
            PERFORM public.make_audit_quarters(day, day);
          END IF;
          INSERT INTO public.audit_log (
            audit_id, user_id, action_by, actor_role, table_name, record_id, action, old_values, new_values,
            grant_id, ip_address, user_agent, request_id, created_at
          ) VALUES (
            gen_random_uuid(), trail,
            coalesce(nullif(current_setting('app.actor_id', true), ''), 'database:' || session_user),
            nullif(current_setting('app.role', true), ''),
            changed_table, record, what, before, after,
            nullif(current_setting('app.grant_id', true), ''),
            nullif(left(current_setting('app.address', true), {LONGEST_ADDRESS}), ''),
            nullif(left(current_setting('app.user_agent', true), {LONGEST_USER_AGENT}), ''),
            nullif(left(current_setting('app.request_id', true), {LONGEST_REQUEST_ID}), ''),
            moment
          );
        END
        $$
    """,
    # A change as what was and what is, of the columns that differ; null where
    # none does. A new or a deleted row as all its values but empty ones.
    "audit_values(jsonb, jsonb, text, text[], text[])": f"""
        CREATE FUNCTION audit_values(
          stored jsonb, incoming jsonb, owner_column text, secret text[], noise text[],
          OUT before jsonb, OUT after jsonb
        ) LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
        AS $$
        BEGIN
          IF stored IS NOT NULL AND incoming IS NOT NULL THEN
            SELECT
              jsonb_object_agg(key, CASE WHEN hidden THEN '"[changed]"' ELSE o.value END),
              jsonb_object_agg(key, CASE WHEN hidden THEN '"[changed]"' ELSE n.value END)
            INTO before, after
            FROM jsonb_each(stored) o JOIN jsonb_each(incoming) n USING (key)
              CROSS JOIN LATERAL (SELECT key = ANY (secret) OR key ~ '{SECRET_NAMES}' AS hidden) h
            WHERE o.value <> n.value AND key <> ALL (noise);
          ELSE
            SELECT jsonb_object_agg(key, value) INTO after
            FROM jsonb_each(coalesce(incoming, stored))
            WHERE value <> 'null' AND key <> owner_column AND NOT (key = ANY (secret) OR key ~ '{SECRET_NAMES}');
            after := coalesce(after, '{{}}');
            IF incoming IS NULL THEN
              before := after;
              after := NULL;
            END IF;
          END IF;
        END
        $$
    """,
    "audit_row()": """
        CREATE FUNCTION audit_row() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
        DECLARE
          stored jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
          incoming jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
          present jsonb := coalesce(incoming, stored);
          change record;
        BEGIN
          change := public.audit_values(
            stored, incoming, TG_ARGV[1], string_to_array(TG_ARGV[2], ','), string_to_array(TG_ARGV[3], ','));
          IF change.before IS NOT NULL OR change.after IS NOT NULL THEN
            PERFORM public.audit_append(
              (present ->> TG_ARGV[1])::uuid, TG_ARGV[0], present ->> 'id', TG_OP, change.before, change.after);
          END IF;
          RETURN NULL;
        END
        $$
    """,
    # The rows stay, and say nothing any more about people who are erased: no id,
    # no address, no value. What others did to their own data stays theirs. For
    # functions of the tables' owner that remove people; how many rows it were.
    "audit_forget(uuid[])": f"""
        CREATE FUNCTION audit_forget(people uuid[]) RETURNS bigint
        LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
        AS $$
        DECLARE
          stripped bigint;
        BEGIN
          UPDATE public.audit_log SET action_by = 'erased', ip_address = NULL, user_agent = NULL
          WHERE action_by = ANY (people::text[]) AND {FOREIGN};
          UPDATE public.audit_log SET
            user_id = NULL, record_id = NULL, old_values = NULL, new_values = NULL, ip_address = NULL,
            user_agent = NULL, action_by = CASE WHEN action_by = user_id::text THEN 'erased' ELSE action_by END
          WHERE user_id = ANY (people);
          GET DIAGNOSTICS stripped = ROW_COUNT;
          RETURN stripped;
        END
        $$
    """,
    # One row a statement and person: what machines send would else be stored twice.
    "audit_series()": """
        CREATE FUNCTION audit_series() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
        DECLARE
          rows_now text := CASE WHEN TG_OP = 'DELETE' THEN 'old_rows' ELSE 'new_rows' END;
          import_of text := CASE WHEN TG_ARGV[5] = '' THEN 'NULL' ELSE TG_ARGV[5] || '::text' END;
          batch record;
          imports_before text[];
          stored jsonb;
          incoming jsonb;
          change record;
        BEGIN
          FOR batch IN EXECUTE format(
            'SELECT %I AS owner, count(*) AS rows, min(%I) AS first, max(%2$I) AS last, '
            'min(%3$s) AS one_import, max(%3$s) AS other_import FROM %4$s GROUP BY 1',
            TG_ARGV[1], TG_ARGV[4], import_of, rows_now
          ) LOOP
            IF batch.rows = 1 AND coalesce(current_setting('app.role', true), '') <> 'service' THEN
              IF TG_OP <> 'INSERT' THEN
                EXECUTE format('SELECT to_jsonb(r) FROM old_rows r WHERE %I = $1', TG_ARGV[1])
                  INTO stored USING batch.owner;
              END IF;
              IF TG_OP <> 'DELETE' THEN
                EXECUTE format('SELECT to_jsonb(r) FROM new_rows r WHERE %I = $1', TG_ARGV[1])
                  INTO incoming USING batch.owner;
              END IF;
              change := public.audit_values(
                stored, incoming, TG_ARGV[1], string_to_array(TG_ARGV[2], ','), string_to_array(TG_ARGV[3], ','));
              IF change.before IS NOT NULL OR change.after IS NOT NULL THEN
                PERFORM public.audit_append(
                  batch.owner, TG_ARGV[0], coalesce(incoming, stored) ->> 'id', TG_OP, change.before, change.after);
              END IF;
              CONTINUE;
            END IF;
            IF TG_OP = 'UPDATE' AND TG_ARGV[5] <> '' THEN
              EXECUTE format('SELECT array_agg(DISTINCT %s) FILTER (WHERE %I IS NOT NULL) FROM old_rows WHERE %I = $1',
                import_of, TG_ARGV[5], TG_ARGV[1]) INTO imports_before USING batch.owner;
            END IF;
            PERFORM public.audit_append(batch.owner, TG_ARGV[0], NULL, 'BATCH',
              CASE WHEN imports_before IS NOT NULL THEN jsonb_build_object('import_ids', imports_before) END,
              jsonb_strip_nulls(jsonb_build_object(
                'operation', TG_OP, 'rows', batch.rows, 'first_date', batch.first, 'last_date', batch.last,
                'import_id', CASE WHEN batch.one_import = batch.other_import THEN batch.one_import END)));
          END LOOP;
          RETURN NULL;
        END
        $$
    """,
}
APP_FUNCTIONS = {
    # An event goes into the trail of the person whom it is about; of the person
    # who acted, if it is about nobody. A change of a row is no event.
    "record_audit(text, jsonb, text, text)": """
        CREATE FUNCTION record_audit(event text, details jsonb, about_table text, about_record text) RETURNS void
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
        DECLARE
          actor text := current_setting('app.actor_id', true);
        BEGIN
          IF event IS NULL OR event !~ '^[A-Z][A-Z_]{1,39}$' OR event IN ('INSERT', 'UPDATE', 'DELETE', 'BATCH') THEN
            RAISE EXCEPTION 'this is no event' USING ERRCODE = '22023';
          END IF;
          PERFORM public.audit_append(
            coalesce(
              nullif(current_setting('app.subject_id', true), '')::uuid,
              CASE WHEN actor ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN actor::uuid END),
            about_table, about_record, event, NULL, details);
        END
        $$
    """,
    "anonymise_audit()": """
        CREATE FUNCTION anonymise_audit() RETURNS bigint
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
        DECLARE
          subject uuid := nullif(current_setting('app.subject_id', true), '')::uuid;
        BEGIN
          IF subject IS NULL OR coalesce(current_setting('app.role', true), '') <> 'service'
            OR coalesce(current_setting('app.actor_id', true), '') NOT LIKE 'service:%' THEN
            RAISE EXCEPTION 'only a service may strip a person from the audit log' USING ERRCODE = '42501';
          END IF;
          RETURN public.audit_forget(ARRAY[subject]);
        END
        $$
    """,
    "make_audit_quarters(date, date)": f"""
        CREATE FUNCTION make_audit_quarters(first_day date, last_day date) RETURNS integer
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s'
        AS $$
        DECLARE
          parent text := 'audit_log';
          policy record;
          partition text;
          starts timestamp;
          made integer := 0;
        BEGIN
          IF first_day IS NULL OR last_day IS NULL OR first_day > last_day
            OR first_day < now() - interval '1 year' OR last_day > now() + interval '5 years' THEN
            RAISE EXCEPTION 'quarters must lie between a year ago and five years from now' USING ERRCODE = '22023';
          END IF;
          LOCK TABLE public.audit_log IN SHARE UPDATE EXCLUSIVE MODE;
          FOR starts IN SELECT generate_series(date_trunc('quarter', first_day::timestamp), last_day, '3 months') LOOP
            partition := format('audit_log_%s', to_char(starts, 'YYYY"q"Q'));
            CONTINUE WHEN to_regclass(format('public.%I', partition)) IS NOT NULL;
{MAKE_ONE_PARTITION.format(first="starts || '+00'", after="starts + interval '3 months' || '+00'")}
            made := made + 1;
          END LOOP;
          RETURN made;
        END
        $$
    """,
}


def install_audit_log() -> None:
    """The table `audit_log`, its functions, and its partitions two years ahead."""
    op.create_table(
        "audit_log",
        sa.Column("audit_id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid),
        sa.Column("action_by", sa.Text, nullable=False),
        sa.Column("actor_role", sa.Text),
        sa.Column("table_name", sa.Text),
        sa.Column("record_id", sa.Text),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("old_values", JSONB),
        sa.Column("new_values", JSONB),
        sa.Column("grant_id", sa.Text),
        sa.Column("ip_address", sa.Text),
        sa.Column("user_agent", sa.Text),
        sa.Column("request_id", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.UniqueConstraint("user_id", "created_at", "audit_id", name=op.f("uq_audit_log_user_id_created_at_audit_id")),
        postgresql_partition_by="RANGE (created_at)",
    )
    op.create_index(op.f("ix_audit_log_action_by"), "audit_log", ["action_by"], postgresql_where=sa.text(FOREIGN))
    for definition in (*INTERNAL_FUNCTIONS.values(), *APP_FUNCTIONS.values()):
        op.execute(definition)
    for signature in (*INTERNAL_FUNCTIONS, *APP_FUNCTIONS):
        # A trigger that anybody made with these would write into the log.
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
    for signature in APP_FUNCTIONS:
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO {APP_GROUP}")
    protect("audit_log", verbs="SELECT")
    op.execute(
        f"SELECT make_audit_quarters(current_date, (current_date + interval '{3 * QUARTERS_AHEAD} months')::date)"
    )


def uninstall_audit_log() -> None:
    """Drops it with the triggers that write it."""
    for signature in (*APP_FUNCTIONS, *INTERNAL_FUNCTIONS):
        op.execute(f"DROP FUNCTION {signature} CASCADE")
    op.drop_table("audit_log")


def audit_table(
    table: str,
    *,
    secret: Sequence[str] = (),
    noise: Sequence[str] = (),
    owner: str = "user_id",
    series: str = "",
    batches: Sequence[str] = ("insert", "update", "delete"),
) -> None:
    """Has every change of the table's rows written into the trail of the person in the column `owner`.

    `secret` columns (a password's hash, a token's) appear as "[changed]" at the
    most; columns called so (SECRET_NAMES) do without being named. A change of
    `noise` columns alone is not written; `updated_at` is one of them.

    `series` names the date column of a table that machines fill: a statement on
    several rows, or of a service, is written as one row with their number and
    period, and the import's id if the table has `import_id`. A statement of a
    person on one row is written as that change. Repeating it sets it anew.
    `batches` are the verbs that this holds for: what a person enters by the
    dozen is new in the table itself, and changes of it are written row by row.
    """
    lists = ",".join(secret), ",".join((*noise, "updated_at"))
    if by_row := [verb for verb in ("insert", "update", "delete") if not series or verb not in batches]:
        op.execute(
            f"CREATE OR REPLACE TRIGGER audit AFTER {' OR '.join(by_row)} ON {table} FOR EACH ROW"
            f" EXECUTE FUNCTION audit_row({_literals(table, owner, *lists)})"
        )
    if not series:
        return
    columns = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
    arguments = _literals(table, owner, *lists, series, "import_id" if "import_id" in columns else "")
    seen = {
        "insert": "NEW TABLE AS new_rows",
        "update": "OLD TABLE AS old_rows NEW TABLE AS new_rows",
        "delete": "OLD TABLE AS old_rows",
    }
    for verb in batches:
        tables = seen[verb]
        op.execute(
            f"CREATE OR REPLACE TRIGGER audit_{verb} AFTER {verb} ON {table} REFERENCING {tables}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION audit_series({arguments})"
        )


def _literals(*texts: str) -> str:
    return ", ".join(f"'{text}'" for text in texts)
