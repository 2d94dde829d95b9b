"""Names of biomarkers that people and administrators add, and what matching knows of them."""

from typing import Any
from uuid import UUID

import grpc
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.audit import record
from services.kit.caller import current
from services.kit.database import Database, Statement, uuid7
from services.kit.errors import ServiceError, invalid, not_found
from services.kit.idempotency import once
from services.kit.paging import decode_token, encode_token, page_size
from services.kit.resources import Resource, delete, get, list_
from services.kit.rows import RowMapping
from services.labs.base import IDEMPOTENCY_KEYS
from services.labs.biomarkers.catalogue import catalogue
from services.labs.biomarkers.tables import biomarker_aliases, shared_biomarker_aliases
from services.labs.matching import alias_key
from vitalis.labs.v1 import biomarker_aliases_pb2 as pb
from vitalis.labs.v1 import biomarker_aliases_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[Any, Any]

# All of them are read whenever a report is matched.
MOST_ALIASES = 1000

ALIASES = Resource(
    pb.BiomarkerAlias,
    biomarker_aliases,
    what="alias",
    order_by=("id",),
    filters=("biomarker",),
    hidden=("alias_key",),
    idempotency_keys=IDEMPOTENCY_KEYS,
)
_SHARED = RowMapping(pb.SharedBiomarkerAlias, shared_biomarker_aliases, hidden=("alias_key",))
_SHARED_COLUMNS = _SHARED.columns(_SHARED.names)

_MINE = biomarker_aliases.c.deleted_at.is_(None) & (
    biomarker_aliases.c.user_id == sa.bindparam("user_id", type_=sa.Uuid(as_uuid=False))
)
_HOW_MANY = sa.select(sa.func.count()).select_from(biomarker_aliases).where(_MINE)
_BOTH = (
    sa.select(shared_biomarker_aliases.c.alias_key, shared_biomarker_aliases.c.biomarker, sa.literal(1).label("rank"))
    .union_all(sa.select(biomarker_aliases.c.alias_key, biomarker_aliases.c.biomarker, sa.literal(2)).where(_MINE))
    .subquery()
)
# The person's come last, and take the place of a shared one with the same words.
_KNOWN = Statement(sa.select(_BOTH.c.alias_key, _BOTH.c.biomarker).order_by(_BOTH.c.rank))


async def known_aliases(database: Database) -> dict[str, str]:
    """What besides the dictionary the subject's reports are matched by: `alias_key(alias)` to a slug."""
    rows = await database.fetch(_KNOWN, {"user_id": current().subject})
    return dict(rows)


class BiomarkerAliasesServicer(pb_grpc.BiomarkerAliasesServiceServicer):
    def __init__(self, database: Database) -> None:
        self.database = database

    GetBiomarkerAlias = get(ALIASES)
    ListBiomarkerAliases = list_(ALIASES)
    DeleteBiomarkerAlias = delete(ALIASES)

    async def CreateBiomarkerAlias(
        self, request: pb.CreateBiomarkerAliasRequest, context: Context
    ) -> pb.CreateBiomarkerAliasResponse:
        """Raises INVALID_FIELD, ALREADY_EXISTS, TOO_MANY_ALIASES, REQUEST_ID_REUSED."""
        sent = request.biomarker_alias
        values = {**ALIASES.rows.values(sent), "alias_key": _key_of("biomarker_alias", sent.alias, sent.biomarker)}
        async with self.database.transaction() as connection:

            async def work() -> pb.CreateBiomarkerAliasResponse:
                await _refuse_too_many(connection, _HOW_MANY)
                return pb.CreateBiomarkerAliasResponse(biomarker_alias=await ALIASES.insert(connection, values))

            return await once(connection, IDEMPOTENCY_KEYS, request, pb.CreateBiomarkerAliasResponse, work)

    async def UndeleteBiomarkerAlias(
        self, request: pb.UndeleteBiomarkerAliasRequest, context: Context
    ) -> pb.UndeleteBiomarkerAliasResponse:
        """Raises NOT_FOUND, ALREADY_EXISTS, TOO_MANY_ALIASES."""
        async with self.database.transaction() as connection:
            alias = await ALIASES.lock(connection, request.id, "", deleted=True)
            if alias.HasField("deleted_at"):
                await _refuse_too_many(connection, _HOW_MANY)
                alias = await ALIASES.change(connection, request.id, {"deleted_at": None})
        return pb.UndeleteBiomarkerAliasResponse(biomarker_alias=alias)

    async def CreateSharedBiomarkerAlias(
        self, request: pb.CreateSharedBiomarkerAliasRequest, context: Context
    ) -> pb.CreateSharedBiomarkerAliasResponse:
        """Raises INVALID_FIELD, ALREADY_EXISTS, TOO_MANY_ALIASES."""
        sent = request.shared_biomarker_alias
        row = {
            "id": uuid7(),
            "alias": sent.alias,
            "alias_key": _key_of("shared_biomarker_alias", sent.alias, sent.biomarker),
            "biomarker": sent.biomarker,
        }
        async with self.database.transaction() as connection:
            await _refuse_too_many(connection, sa.select(sa.func.count()).select_from(shared_biomarker_aliases))
            insert = sa.insert(shared_biomarker_aliases).values(row).returning(*_SHARED_COLUMNS)
            stored = _SHARED.read((await connection.execute(insert)).one())
            await _record(connection, "SHARED_ALIAS_CREATE", stored)
        return pb.CreateSharedBiomarkerAliasResponse(shared_biomarker_alias=stored)

    async def ListSharedBiomarkerAliases(
        self, request: pb.ListSharedBiomarkerAliasesRequest, context: Context
    ) -> pb.ListSharedBiomarkerAliasesResponse:
        """A page by the names' words. Raises INVALID_PAGE_TOKEN."""
        size = page_size(request.page_size)
        bound_to = request.DESCRIPTOR.full_name
        table = shared_biomarker_aliases
        select = sa.select(*_SHARED_COLUMNS, table.c.alias_key).order_by(table.c.alias_key).limit(size + 1)
        if request.page_token:
            select = select.where(table.c.alias_key > decode_token(request.page_token, 1, bound_to)[0])
        async with self.database.transaction() as connection:
            rows = (await connection.execute(select)).all()
        return pb.ListSharedBiomarkerAliasesResponse(
            shared_biomarker_aliases=[_SHARED.read(row) for row in rows[:size]],
            next_page_token=encode_token([rows[size - 1].alias_key], bound_to) if len(rows) > size else "",
        )

    async def DeleteSharedBiomarkerAlias(
        self, request: pb.DeleteSharedBiomarkerAliasRequest, context: Context
    ) -> pb.DeleteSharedBiomarkerAliasResponse:
        """Raises NOT_FOUND."""
        table = shared_biomarker_aliases
        async with self.database.transaction() as connection:
            gone = sa.delete(table).where(table.c.id == UUID(request.id)).returning(*_SHARED_COLUMNS)
            row = (await connection.execute(gone)).first()
            if row is None:
                raise not_found("alias")
            await _record(connection, "SHARED_ALIAS_DELETE", _SHARED.read(row))
        return pb.DeleteSharedBiomarkerAliasResponse()


def _key_of(field: str, alias: str, biomarker: str) -> str:
    """What the alias is found by. Raises INVALID_FIELD for no marker, or an alias without a word in it."""
    if catalogue().of(biomarker) is None:
        raise invalid(f"{field}.biomarker", "is not in the dictionary")
    key = alias_key(alias)
    if not key:
        raise invalid(f"{field}.alias", "must have a letter or a digit")
    return key


async def _refuse_too_many(connection: AsyncConnection, count: sa.Select[int]) -> None:
    if (await connection.execute(count, {"user_id": current().subject})).scalar_one() >= MOST_ALIASES:
        raise ServiceError("TOO_MANY_ALIASES", f"there may be {MOST_ALIASES} aliases; delete some first")


async def _record(connection: AsyncConnection, event: str, alias: pb.SharedBiomarkerAlias) -> None:
    """Into the administrator's own trail: the table is nobody's, so no trigger writes it down."""
    details = {"alias": alias.alias, "biomarker": alias.biomarker}
    await record(connection, event, details, table="shared_biomarker_aliases", record_id=alias.id)
