"""Grants: who may see what of whose data; and the one look-up that resolves a caller."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from services.kit.audit_schema import audit_table
from services.kit.migrate import SUBJECT, install_function, protect

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# What a request of the gateway's asks in one round trip: before it, nobody is known to be calling.
RESOLVE_CALLER = """
    CREATE FUNCTION resolve_caller(actor uuid, session uuid, subject uuid)
    RETURNS TABLE (role text, grant_id uuid, scopes text[], seconds_left double precision)
    LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
      SELECT people.role, given.id, given.scopes, extract(epoch FROM given.expires_at - now())::double precision
      FROM public.sessions JOIN public.users AS people ON people.id = sessions.user_id
      LEFT JOIN (public.grants AS given JOIN public.users AS owners ON owners.id = given.user_id)
        ON given.user_id = $3 AND given.grantee_id = people.id AND given.status = 'active'
        AND (given.expires_at IS NULL OR given.expires_at > now())
        AND (given.relation <> 'coach' OR people.role IN ('coach', 'admin'))
        AND owners.deleted_at IS NULL AND owners.account_status = 'active'
      WHERE sessions.id = $2 AND sessions.user_id = $1
        AND sessions.revoked_at IS NULL AND sessions.expires_at > now()
        AND people.deleted_at IS NULL AND people.account_status = 'active'
    $$
"""
# A token says whose offer it is, and to which address it was sent: only who has that address goes on.
FIND_GRANT = """
    CREATE FUNCTION find_grant(token_sha256 bytea) RETURNS TABLE (user_id uuid, grantee_email text)
    LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
      SELECT grants.user_id, grants.grantee_email FROM public.grants WHERE grants.token_sha256 = $1
    $$
"""
# Whoever was given something may know by whom.
GRANT_OWNER_NAME = """
    CREATE FUNCTION grant_owner_name(grant_id uuid) RETURNS text
    LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
      SELECT users.display_name FROM public.grants JOIN public.users ON users.id = grants.user_id
      WHERE grants.id = $1 AND grants.grantee_id = nullif(current_setting('app.subject_id', true), '')::uuid
    $$
"""
# What has run out says so, and the address of somebody who never accepted is not kept.
TIDY_GRANTS = """
    CREATE FUNCTION tidy_grants() RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
      UPDATE public.grants SET status = 'expired', ended_at = least(now(), coalesce(expires_at, now())),
        token_sha256 = NULL, updated_at = now()
      WHERE (status = 'active' AND expires_at <= now())
        OR (status = 'pending' AND least(expires_at, invitation_expires_at) <= now());
      DELETE FROM public.grants WHERE grantee_id IS NULL AND ended_at < now() - interval '30 days'
    $$
"""
FUNCTIONS = {
    "resolve_caller(uuid, uuid, uuid)": RESOLVE_CALLER,
    "find_grant(bytea)": FIND_GRANT,
    "grant_owner_name(uuid)": GRANT_OWNER_NAME,
    "tidy_grants()": TIDY_GRANTS,
}
SCOPE = "[a-z_]+[.](read|write)"
CHECKS = {
    "grantee_email": (
        'grantee_email = lower(grantee_email COLLATE "C") AND char_length(grantee_email) BETWEEN 3 AND 254'
    ),
    "grantee": "grantee_id <> user_id",
    "scopes": f"array_to_string(scopes, ',') ~ '^{SCOPE}(,{SCOPE})*$'",
    "relation": "relation IN ('person', 'coach')",
    "note": "char_length(note) BETWEEN 1 AND 500",
    "status": "status IN ('pending', 'active', 'declined', 'revoked', 'expired')",
    "token_sha256": "octet_length(token_sha256) = 32",
    "pending": "status = 'pending' OR token_sha256 IS NULL",
    "active": "status <> 'active' OR (grantee_id IS NOT NULL AND accepted_at IS NOT NULL)",
    "ended": "(status IN ('pending', 'active')) = (ended_at IS NULL)",
}


def upgrade() -> None:
    op.create_table(
        "grants",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("grantee_email", sa.Text, nullable=False),
        sa.Column("grantee_id", sa.Uuid),
        sa.Column("scopes", postgresql.ARRAY(sa.Text), nullable=False),
        sa.Column("relation", sa.Text, nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("status", sa.Text, nullable=False, server_default="pending"),
        sa.Column("consent_version", sa.Text, nullable=False),
        sa.Column("consented_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("consent_address", sa.Text, nullable=False, comment="where the owner consented from"),
        sa.Column("invitation_expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("token_sha256", sa.LargeBinary, comment="of the invitation that was mailed last"),
        sa.Column("accepted_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grants")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_grants_token_sha256")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_grants_user_id_users"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["grantee_id"], ["users.id"], name=op.f("fk_grants_grantee_id_users"), ondelete="CASCADE"
        ),
        *(sa.CheckConstraint(rule, name=op.f(f"ck_grants_{name}")) for name, rule in CHECKS.items()),
    )
    op.create_index(op.f("ix_grants_user_id_id"), "grants", ["user_id", "id"])
    op.create_index(op.f("ix_grants_grantee_id_id"), "grants", ["grantee_id", "id"])
    # One living grant for an address, and one for a person, whatever their addresses.
    op.create_index(
        op.f("uq_grants_user_id_grantee_email"),
        "grants",
        ["user_id", "grantee_email"],
        unique=True,
        postgresql_where=sa.text("status IN ('pending', 'active')"),
    )
    op.create_index(
        op.f("uq_grants_user_id_grantee_id"),
        "grants",
        ["user_id", "grantee_id"],
        unique=True,
        postgresql_where=sa.text("status = 'active'"),
    )
    protect("grants", verbs="SELECT, INSERT, UPDATE")
    # Who was given something sees that, and can do nothing about it here.
    op.execute(f"CREATE POLICY grantee ON grants FOR SELECT USING (grantee_id = {SUBJECT})")
    # Who it is for, the grantee's id says; their address is not kept in somebody else's trail.
    audit_table("grants", secret=("grantee_email",), noise=("token_sha256",))
    for signature, definition in FUNCTIONS.items():
        install_function(signature, definition)


def downgrade() -> None:
    for signature in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION {signature}")
    op.drop_table("grants")
