"""The tables of log-ins at other providers, and the functions that reach them before a caller is known."""

import sqlalchemy as sa

from services.identity.base import metadata
from services.kit.database import Statement
from services.kit.vault import ENCRYPTED, GENERAL

oauth_identities = sa.Table(
    "oauth_identities",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("provider_user_id", sa.Text, nullable=False, comment="the issuer, a space, and its subject"),
    sa.Column("access_token_enc", sa.LargeBinary, nullable=False, info={ENCRYPTED: GENERAL}),
    sa.Column("refresh_token_enc", sa.LargeBinary, info={ENCRYPTED: GENERAL}),
    sa.Column("expires_at", sa.DateTime(timezone=True), comment="of the access token"),
    sa.Column("last_used_at", sa.DateTime(timezone=True)),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    # Looked up before the owner is known, and an account elsewhere is one person's here.
    sa.UniqueConstraint("provider", "provider_user_id"),
)

# Whoever begins is nobody yet, and the row holds nothing of a person: hashes of two random secrets.
oauth_states = sa.Table(
    "oauth_states",
    metadata,
    sa.Column("state_sha256", sa.LargeBinary, primary_key=True),
    sa.Column("binding_sha256", sa.LargeBinary, nullable=False),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("redirect_uri", sa.Text, nullable=False),
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False, index=True),
)

# Functions of the migrations that run as the tables' owner.
FIND_IDENTITY = Statement(
    sa.select(sa.text("user_id")).select_from(
        sa.func.find_identity(
            sa.bindparam("provider", type_=sa.Text), sa.bindparam("provider_user_id", type_=sa.Text)
        ).table_valued()
    )
)
BEGIN = sa.select(
    sa.func.begin_oauth(
        sa.bindparam("state_sha256", type_=sa.LargeBinary),
        sa.bindparam("binding_sha256", type_=sa.LargeBinary),
        sa.bindparam("provider", type_=sa.Text),
        sa.bindparam("redirect_uri", type_=sa.Text),
        type_=sa.DateTime(timezone=True),
    )
)
TAKE = sa.select(sa.text("binding_sha256, provider, redirect_uri")).select_from(
    sa.func.take_oauth(sa.bindparam("state_sha256", type_=sa.LargeBinary)).table_valued()
)
FORGET = sa.select(sa.func.forget_oauth())
