"""Panels and markers in the database: many markers in one statement."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningInsert

from services.kit.caller import current
from services.kit.database import changed_at, uuid7_texts
from services.kit.errors import ServiceError, Violation, all_wrong
from services.kit.recordset import payload, recordset
from services.kit.resources import Resource
from services.labs.base import IDEMPOTENCY_KEYS
from services.labs.documents.tables import documents
from services.labs.panels.judge import Person
from services.labs.panels.reading import ENTERED, Unreadable, read_markers
from services.labs.panels.tables import blood_markers, blood_panels
from vitalis.labs.v1 import panels_pb2 as pb

PANELS = Resource(
    pb.BloodPanel,
    blood_panels,
    what="panel",
    order_by=("collected_date", "id"),
    date_column="collected_date",
    filters=("lab_name",),
    heavy=("notes", "lab_comment"),
    idempotency_keys=IDEMPOTENCY_KEYS,
    encrypted=("notes", "lab_comment"),
    provenance=("import_id",),
)
MARKERS = Resource(
    pb.BloodMarker,
    blood_markers,
    what="marker",
    order_by=("collected_date", "id"),
    date_column="collected_date",
    filters=("panel_id", "biomarker"),
    hidden=("marker_key", "decimal_comma"),
    encrypted=("lab_comment",),
    provenance=("import_id",),
)
# What panels are the same by, besides their day.
_SAME = ("lab_name", "panel_name", "specimen_id", "collected_at")
# Of these a verdict depends.
OF_THE_PERSON = ("sex", "age_years", "cycle_phase", "fasting")
_DERIVED = (
    *("marker_key", "decimal_comma", "comparator", "value_numeric", "value_text", "value_canonical"),
    *("ref_range_low", "ref_range_high", "range_source", "own_flag", "in_range"),
    *("optimal_low", "optimal_high", "in_optimal"),
)
# Of a marker all that is written but its place.
WRITTEN = (*ENTERED, *_DERIVED, "lab_comment")


def person_of(panel: Any) -> Person:
    """Whose panel it is, as far as it says."""
    return Person(**{name: getattr(panel, name) if panel.HasField(name) else None for name in OF_THE_PERSON})


def read(
    entered: Sequence[Mapping[str, Any]], panel: Any, aliases: Mapping[str, str], place: str = "markers[{}]."
) -> list[dict[str, Any]]:
    """The rows of markers of a panel. Raises INVALID_FIELD with every violation.

    `aliases` are what the person's reports are matched by besides the dictionary
    (`known_aliases`).
    """
    try:
        rows = read_markers(entered, person_of(panel), aliases, place)
    except Unreadable as error:
        raise all_wrong("INVALID_FIELD", error.violations) from None
    # Nothing follows from a comment.
    return [
        row | {"lab_comment": marker["lab_comment"]} if "lab_comment" in marker else row
        for row, marker in zip(rows, entered, strict=True)
    ]


async def save_panel(connection: AsyncConnection, values: Mapping[str, Any], *, override: bool) -> Any:
    """The panel as stored: a new one, or with `override` the same one with the values sent.

    Raises PANEL_REPEATED and DOCUMENT_UNKNOWN.
    """
    await lock_document(connection, values.get("document_id") or "")
    if override and (known := await _same(connection, values)):
        await PANELS.lock(connection, known, "")
        return await PANELS.change(connection, known, dict(values))
    try:
        return await PANELS.insert(connection, dict(values))
    except IntegrityError as error:
        if isinstance(error.orig, psycopg.errors.UniqueViolation):
            raise ServiceError("PANEL_REPEATED", "this panel is there already; send override to change it") from None
        raise


async def lock_document(connection: AsyncConnection, document_id: str) -> None:
    """Keeps a document that a panel is to name from being deleted meanwhile. Raises DOCUMENT_UNKNOWN.

    Called before the panel is locked, as whoever deletes a document locks that first.
    """
    if not document_id:
        return
    table = documents.c
    mine = (table.user_id == UUID(current().subject)) & table.deleted_at.is_(None)
    named = sa.select(table.id).where(mine, table.id == UUID(document_id)).with_for_update(read=True, key_share=True)
    if (await connection.execute(named)).first() is None:
        raise all_wrong("DOCUMENT_UNKNOWN", [Violation("blood_panel.document_id", "is no document of yours")])


async def _same(connection: AsyncConnection, values: Mapping[str, Any]) -> str | None:
    """The id of the panel of the same day, laboratory, name, specimen and instant."""
    table = blood_panels.c
    same = [table[name].is_not_distinct_from(sa.bindparam(f"same_{name}", type_=table[name].type)) for name in _SAME]
    day = sa.cast(sa.bindparam("same_date", type_=sa.Text), sa.Date)
    statement = sa.select(sa.cast(table.id, sa.Text)).where(
        table.user_id == sa.bindparam("owner", type_=sa.Uuid(as_uuid=False)),
        table.collected_date == day,
        table.deleted_at.is_(None),
        *same,
    )
    parameters = {f"same_{name}": values.get(name) for name in _SAME}
    parameters |= {"owner": current().subject, "same_date": values["collected_date"]}
    known: str | None = (await connection.execute(statement, parameters)).scalar()
    return known


def _writer(*, override: bool) -> ReturningInsert[Any]:
    incoming = recordset(blood_markers, ("id", *WRITTEN))
    of_panel = {
        "user_id": sa.cast(sa.bindparam("user_id", type_=sa.Text), sa.Uuid),
        "panel_id": sa.cast(sa.bindparam("panel_id", type_=sa.Text), sa.Uuid),
        "collected_date": sa.cast(sa.bindparam("collected_date", type_=sa.Text), sa.Date),
    }
    statement = insert(blood_markers).from_select(
        ["id", *WRITTEN, *of_panel],
        sa.select(*(incoming.c[name] for name in ("id", *WRITTEN)), *of_panel.values()),
    )
    same: Any = {
        "index_elements": ["user_id", "panel_id", "marker_key"],
        "index_where": blood_markers.c.deleted_at.is_(None),
    }
    if override:
        new: dict[str, Any] = {name: statement.excluded[name] for name in WRITTEN}
        new["updated_at"] = changed_at(blood_markers)
        # Another result is no longer the import's; one that is only judged again is.
        same_result = sa.and_(*(blood_markers.c[name].is_not_distinct_from(new[name]) for name in ("value", "unit")))
        new["import_id"] = sa.case((same_result, blood_markers.c.import_id))
        # What the laboratory says of a result, it says of that one.
        kept = sa.case((same_result, blood_markers.c.lab_comment))
        new["lab_comment"] = sa.func.coalesce(statement.excluded.lab_comment, kept)
        statement = statement.on_conflict_do_update(**same, set_=new)
    else:
        statement = statement.on_conflict_do_nothing(**same)
    return statement.returning(blood_markers.c.marker_key, *MARKERS.columns)


_WRITERS = {override: _writer(override=override) for override in (False, True)}


async def save_markers(
    connection: AsyncConnection, panel: Any, rows: Sequence[Mapping[str, Any]], *, override: bool
) -> list[Any]:
    """The markers as stored, in the order of `rows` (of `read`). Raises MARKER_REPEATED.

    With `override` a marker that the panel has takes the values sent, and of
    two that are the same the last one counts.
    """
    if not rows:
        return []
    assert MARKERS.sealed
    last = {row["marker_key"]: row for row in rows}
    if len(last) < len(rows) and not override:
        raise _repeats(rows)
    known: dict[str, str] = {}
    if override and any(row.get("lab_comment") for row in rows):
        known = await _ids(connection, panel.id, list(last))
    ids = uuid7_texts(len(last))
    content = [{**row, "id": known.get(key, new)} for new, (key, row) in zip(ids, last.items(), strict=True)]
    parameters = {
        "rows": payload(await MARKERS.sealed.seal_rows(connection, content)),
        "user_id": current().subject,
        "panel_id": panel.id,
        "collected_date": panel.collected_date,
    }
    stored = (await connection.execute(_WRITERS[override], parameters)).all()
    key = MARKERS.sealed.key_in(connection, stored[0][-1]) if stored else None
    markers = {row[0]: MARKERS.rows.read(row[1:], key) for row in stored}
    if missing := [number for number, row in enumerate(rows) if row["marker_key"] not in markers]:
        raise _marker_error([Violation(f"markers[{number}]", "is in the panel already") for number in missing])
    return [markers[row["marker_key"]] for row in rows]


async def _ids(connection: AsyncConnection, panel_id: str, marker_keys: list[str]) -> dict[str, str]:
    """The ids of markers that the panel has, which stay theirs: what is encrypted is bound to its row. Locks them."""
    table = blood_markers.c
    statement = sa.select(table.marker_key, sa.cast(table.id, sa.Text).label("id")).where(
        table.user_id == UUID(current().subject),
        table.panel_id == UUID(panel_id),
        table.marker_key == sa.any_(sa.cast(marker_keys, ARRAY(sa.Text))),
        table.deleted_at.is_(None),
    )
    found = await connection.execute(statement.with_for_update())
    return {row.marker_key: row.id for row in found}


def _repeats(rows: Sequence[Mapping[str, Any]]) -> ServiceError:
    first: dict[str, int] = {}
    violations = []
    for number, row in enumerate(rows):
        if (earlier := first.setdefault(row["marker_key"], number)) != number:
            violations.append(Violation(f"markers[{number}]", f"repeats markers[{earlier}]"))
    return _marker_error(violations)


def _marker_error(violations: Sequence[Violation]) -> ServiceError:
    return all_wrong("MARKER_REPEATED", violations, "send override if the last one counts")


async def entered_of(connection: AsyncConnection, panel_id: str, marker_id: str = "") -> list[dict[str, Any]]:
    """What was entered of a panel's markers, or of one of them, as `read` takes it."""
    table = blood_markers.c
    statement = sa.select(*(table[name] for name in ENTERED), table.decimal_comma).where(
        table.user_id == UUID(current().subject), table.panel_id == UUID(panel_id), table.deleted_at.is_(None)
    )
    if marker_id:
        statement = statement.where(table.id == UUID(marker_id))
    return [dict(row) for row in (await connection.execute(statement)).mappings()]
