"""Grants as their grantee sees them: somebody else's rows, which a policy of their own shows for reading."""

from typing import Any

import sqlalchemy as sa

from services.identity.sharing.tables import STANDING, grants
from services.identity.users import timestamp
from services.kit.database import Statement
from vitalis.identity.v1 import sharing_pb2 as pb

COLUMNS = (
    grants.c.id,
    grants.c.user_id,
    # People see nobody's row but their own; this function tells a grantee its owner's name.
    sa.func.grant_owner_name(grants.c.id),
    grants.c.scopes,
    grants.c.relation,
    grants.c.note,
    STANDING,
    grants.c.expires_at,
    grants.c.accepted_at,
    grants.c.ended_at,
)
TO_ME = grants.c.grantee_id == sa.bindparam("grantee", type_=sa.Uuid(as_uuid=False))
NEWEST = (
    sa.select(*COLUMNS).where(TO_ME).order_by(grants.c.id.desc()).limit(sa.bindparam("page_limit", type_=sa.Integer))
)
ONE = Statement(sa.select(*COLUMNS).where(TO_ME, grants.c.id == sa.bindparam("grant", type_=sa.Uuid(as_uuid=False))))
FIRST_PAGE = Statement(NEWEST)
NEXT_PAGE = Statement(NEWEST.where(grants.c.id < sa.bindparam("after", type_=sa.Uuid(as_uuid=False))))


def read(row: tuple[Any, ...]) -> pb.ReceivedGrant:
    """The values of `COLUMNS` as the message."""
    grant_id, owner_id, owner_name, scopes, relation, note, status, *instants = row
    expires_at, accepted_at, ended_at = (timestamp(instant) if instant else None for instant in instants)
    return pb.ReceivedGrant(
        id=str(grant_id),
        owner_id=str(owner_id),
        owner_name=owner_name,
        scopes=scopes,
        relation=relation,
        note=note,
        status=status,
        expires_at=expires_at,
        accepted_at=accepted_at,
        ended_at=ended_at,
    )
