"""Deletion of people, and the notice to those who have long been away."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from services.kit.audit_schema import audit_table
from services.kit.migrate import SUBJECT, install_function, protect

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

HEAD = "SECURITY DEFINER SET search_path = pg_catalog, pg_temp"
ONLY_A_SERVICE = "current_setting('app.role', true) = 'service'"
FUNCTIONS = {
    # For the job, which is nobody's: the deletions whose time has come, by this
    # clock alone. Each is leased; who is cancelling one at this moment has it.
    "claim_deletions(integer, interval)": f"""
        CREATE FUNCTION claim_deletions(most integer, lease interval)
        RETURNS TABLE (id uuid, user_id uuid, category text, passes smallint, answered text[], attempts integer)
        LANGUAGE sql {HEAD}
        AS $$
          UPDATE public.deletion_requests AS d
          SET status = 'processing', attempts = d.attempts + 1, next_attempt_at = now() + $2
          WHERE d.id IN (
            SELECT r.id FROM public.deletion_requests AS r
            WHERE (r.status = 'pending' AND r.grace_period_ends_at <= now())
              OR (r.status = 'processing' AND r.next_attempt_at <= now())
            ORDER BY r.grace_period_ends_at LIMIT $1 FOR UPDATE SKIP LOCKED
          )
          RETURNING d.id, d.user_id, d.category, d.passes, d.answered, d.attempts
        $$
    """,
    # An account whose owner goes belongs to the one who has been in it longest.
    "hand_over_accounts()": f"""
        CREATE FUNCTION hand_over_accounts() RETURNS void
        LANGUAGE sql {HEAD}
        AS $$
          UPDATE public.accounts AS a SET owner_id = heir.id, updated_at = now()
          FROM (
            SELECT DISTINCT ON (u.account_id) u.account_id, u.id FROM public.users AS u
            WHERE u.id <> {SUBJECT} ORDER BY u.account_id, u.deleted_at IS NOT NULL, u.id
          ) AS heir
          WHERE a.owner_id = {SUBJECT} AND heir.account_id = a.id AND {ONLY_A_SERVICE}
        $$
    """,
    # What is left of the subject's deletions says what was erased, and not whose it was.
    "finish_deletion(uuid, jsonb)": f"""
        CREATE FUNCTION finish_deletion(deletion uuid, erased jsonb) RETURNS void
        LANGUAGE sql {HEAD}
        AS $$
          UPDATE public.deletion_requests AS d SET
            user_id = NULL,
            status = CASE d.status WHEN 'canceled' THEN 'canceled' ELSE 'completed' END,
            completed_at = CASE d.status WHEN 'canceled' THEN NULL ELSE coalesce(d.completed_at, now()) END,
            erased = CASE d.id WHEN $1 THEN $2 ELSE d.erased END,
            next_attempt_at = NULL
          WHERE d.user_id = {SUBJECT} AND {ONLY_A_SERVICE}
        $$
    """,
    # Who has not logged in since `before` and was not told so since they last did; they count as told from now on.
    "claim_inactive_people(timestamptz, integer)": f"""
        CREATE FUNCTION claim_inactive_people(before timestamptz, most integer) RETURNS SETOF uuid
        LANGUAGE sql {HEAD}
        AS $$
          INSERT INTO public.inactivity_notices AS n (user_id)
          SELECT u.id FROM public.users AS u LEFT JOIN public.inactivity_notices AS told ON told.user_id = u.id
          WHERE coalesce(u.last_login_at, u.created_at) < $1 AND u.deleted_at IS NULL AND u.account_status = 'active'
            AND u.email_verified_at IS NOT NULL
            AND (told.notified_at IS NULL OR told.notified_at < u.last_login_at)
          ORDER BY u.id LIMIT $2
          ON CONFLICT (user_id) DO UPDATE SET notified_at = now()
          RETURNING n.user_id
        $$
    """,
}


def upgrade() -> None:
    op.create_table(
        "deletion_requests",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid),
        sa.Column("category", sa.Text, server_default="", nullable=False),
        sa.Column("status", sa.Text, server_default="pending", nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("grace_period_ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("canceled_at", sa.DateTime(timezone=True)),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True)),
        sa.Column("attempts", sa.Integer, server_default="0", nullable=False),
        sa.Column("passes", sa.SmallInteger, server_default="0", nullable=False),
        sa.Column("answered", ARRAY(sa.Text), server_default="{}", nullable=False),
        sa.Column("erased", JSONB, server_default="{}", nullable=False, comment="numbers of rows and files by service"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deletion_requests")),
        sa.CheckConstraint("category IN ('', 'mental_wellness')", name=op.f("ck_deletion_requests_category")),
        sa.CheckConstraint(
            "status IN ('pending', 'processing', 'completed', 'canceled')", name=op.f("ck_deletion_requests_status")
        ),
        sa.CheckConstraint(
            "(status = 'canceled') = (canceled_at IS NOT NULL)", name=op.f("ck_deletion_requests_canceled_at")
        ),
        sa.CheckConstraint(
            "(status = 'completed') = (completed_at IS NOT NULL)", name=op.f("ck_deletion_requests_completed_at")
        ),
        sa.CheckConstraint(
            "user_id IS NOT NULL OR status IN ('completed', 'canceled')", name=op.f("ck_deletion_requests_user_id")
        ),
    )
    op.create_index(
        op.f("ix_deletion_requests_user_id_requested_at_id"), "deletion_requests", ["user_id", "requested_at", "id"]
    )
    is_open = sa.text("status IN ('pending', 'processing')")
    op.create_index(
        op.f("uq_deletion_requests_open"),
        "deletion_requests",
        ["user_id", "category"],
        unique=True,
        postgresql_where=is_open,
    )
    op.create_index(
        op.f("ix_deletion_requests_grace_period_ends_at"),
        "deletion_requests",
        ["grace_period_ends_at"],
        postgresql_where=is_open,
    )
    op.create_table(
        "inactivity_notices",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("notified_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_inactivity_notices")),
    )
    # The events of a deletion are recorded as such: its row forgets its person, and no trail may remember for it.
    protect("deletion_requests", verbs="SELECT, INSERT, UPDATE")
    protect("inactivity_notices", verbs="SELECT")
    audit_table("inactivity_notices")
    # The trail of one person does not name another, who may be gone: who had the account before, whom they shared with.
    audit_table("accounts", owner="owner_id", secret=("owner_id",))
    audit_table("grants", secret=("grantee_email", "grantee_id"), noise=("token_sha256",))
    for signature, definition in FUNCTIONS.items():
        install_function(signature, definition)


def downgrade() -> None:
    for signature in FUNCTIONS:
        op.execute(f"DROP FUNCTION {signature}")
    op.drop_table("inactivity_notices")
    op.drop_table("deletion_requests")
