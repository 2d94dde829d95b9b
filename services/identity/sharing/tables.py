"""The table of grants, and the statements that see more of it than its owner's rows."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from services.identity.base import metadata
from services.kit.database import Statement, owned
from services.kit.rows import RowMapping
from vitalis.identity.v1 import sharing_pb2 as pb

RELATIONS = ("person", "coach")
PENDING, ACTIVE, DECLINED, REVOKED, EXPIRED = STATUSES = ("pending", "active", "declined", "revoked", "expired")
SCOPE = "[a-z_]+[.](read|write)"

grants = sa.Table(
    "grants",
    metadata,
    *owned(),
    sa.Column("grantee_email", sa.Text, nullable=False),
    sa.Column("grantee_id", sa.Uuid, sa.ForeignKey("users.id", ondelete="CASCADE")),
    sa.Column("scopes", postgresql.ARRAY(sa.Text), nullable=False),
    sa.Column("relation", sa.Text, nullable=False),
    sa.Column("note", sa.Text),
    sa.Column("expires_at", sa.DateTime(timezone=True)),
    sa.Column("status", sa.Text, nullable=False, server_default=PENDING),
    sa.Column("consent_version", sa.Text, nullable=False),
    sa.Column("consented_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("consent_address", sa.Text, nullable=False, comment="where the owner consented from"),
    sa.Column("invitation_expires_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("token_sha256", sa.LargeBinary, comment="of the invitation that was mailed last"),
    sa.Column("accepted_at", sa.DateTime(timezone=True)),
    sa.Column("ended_at", sa.DateTime(timezone=True)),
    sa.PrimaryKeyConstraint("id"),
    sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
    # Looked up before it is known whom the grant is for.
    sa.UniqueConstraint("token_sha256"),
    sa.Index(None, "user_id", "id"),
    sa.Index(None, "grantee_id", "id"),
    # One living grant for an address, and one for a person, whatever their addresses.
    sa.Index(
        "uq_grants_user_id_grantee_email",
        "user_id",
        "grantee_email",
        unique=True,
        postgresql_where=sa.text("status IN ('pending', 'active')"),
    ),
    sa.Index(
        "uq_grants_user_id_grantee_id",
        "user_id",
        "grantee_id",
        unique=True,
        postgresql_where=sa.text("status = 'active'"),
    ),
    sa.CheckConstraint(
        'grantee_email = lower(grantee_email COLLATE "C") AND char_length(grantee_email) BETWEEN 3 AND 254',
        name="grantee_email",
    ),
    sa.CheckConstraint("grantee_id <> user_id", name="grantee"),
    # Which scopes there are grows with the areas and stands in the protos.
    sa.CheckConstraint(f"array_to_string(scopes, ',') ~ '^{SCOPE}(,{SCOPE})*$'", name="scopes"),
    sa.CheckConstraint(sa.column("relation").in_(RELATIONS), name="relation"),
    sa.CheckConstraint("char_length(note) BETWEEN 1 AND 500", name="note"),
    sa.CheckConstraint(sa.column("status").in_(STATUSES), name="status"),
    sa.CheckConstraint("octet_length(token_sha256) = 32", name="token_sha256"),
    sa.CheckConstraint("status = 'pending' OR token_sha256 IS NULL", name="pending"),
    sa.CheckConstraint("status <> 'active' OR (grantee_id IS NOT NULL AND accepted_at IS NOT NULL)", name="active"),
    sa.CheckConstraint("(status IN ('pending', 'active')) = (ended_at IS NULL)", name="ended"),
)

# How a grant stands by the database's clock; a job marks what has run out, later.
STANDING = sa.case(
    (sa.and_(grants.c.status == ACTIVE, grants.c.expires_at <= sa.func.now()), EXPIRED),
    (
        sa.and_(
            grants.c.status == PENDING,
            sa.func.least(grants.c.expires_at, grants.c.invitation_expires_at) <= sa.func.now(),
        ),
        EXPIRED,
    ),
    else_=grants.c.status,
)
LIVING = (PENDING, ACTIVE)
GRANTS = RowMapping(pb.Grant, grants, hidden=("token_sha256",))
COLUMNS = [STANDING.label("status") if column.name == "status" else column for column in GRANTS.columns(GRANTS.names)]
MINE = (
    grants.c.user_id == sa.bindparam("owner", type_=sa.Uuid(as_uuid=False)),
    grants.c.id == sa.bindparam("grant", type_=sa.Uuid(as_uuid=False)),
)

# Functions of the migrations that run as the tables' owner.
RESOLVE_CALLER = Statement(
    sa.select(sa.text("role, grant_id, scopes, seconds_left")).select_from(
        sa.func.resolve_caller(
            *(sa.bindparam(name, type_=sa.Uuid(as_uuid=False)) for name in ("actor", "session", "subject"))
        ).table_valued()
    )
)
FIND_GRANT = Statement(
    sa.select(sa.text("user_id, grantee_email")).select_from(
        sa.func.find_grant(sa.bindparam("token_sha256", type_=sa.LargeBinary)).table_valued()
    )
)
