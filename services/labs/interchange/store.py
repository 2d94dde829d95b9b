"""Storing an import's panels.

A panel is the same as one that is there by its day and time, laboratory, name
and specimen; a marker by what the panel knows it by (reading.py), or by what is
printed, where the dictionary has learnt its name since. What an import brought,
a later one may change; what a person entered or corrected, and what the
laboratory reported later, stays. Rows that change are copied before.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.database import changed_at, uuid7
from services.labs.interchange.prepare import Account, Panel, match_of
from services.labs.interchange.tables import lab_import_changes
from services.labs.panels.reading import read_markers
from services.labs.panels.store import PANELS, person_of
from services.labs.panels.tables import blood_markers, blood_panels
from services.labs.units import UnitRefused, units_of

LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('lab-imports:' || :user_id, 0))")
SAME_PANEL = ("collected_date", "lab_name", "panel_name", "specimen_id", "collected_at")
# In these a corrected result differs. A LOINC code that only one of the two has says nothing against the other.
RESULT = ("comparator", "value_numeric", "value_text", "unit", "ref_range_text", "flag")
NAMES = ("raw_name", "specimen", "sub_panel", "loinc_code")
_PROVENANCE = ("source_id", "source_place")


class Writer:
    """Stores the panels of one import in its one transaction, and keeps account."""

    def __init__(
        self, connection: AsyncConnection, user_id: str, import_id: str, aliases: Mapping[str, str], account: Account
    ) -> None:
        self._connection = connection
        self._user_id = UUID(user_id)
        self._import_id = UUID(import_id)
        self._aliases = aliases
        self._account = account

    async def store(self, incoming: Panel) -> None:
        """Stores one panel."""
        self._account.days.add(incoming.header["collected_date"])
        panel = await self._same_panel(incoming.header)
        is_older = False
        if panel is None:
            panel = await PANELS.insert(self._connection, {**incoming.header, "import_id": self._import_id})
            self._account.panels_stored += 1
        else:
            reported_at = incoming.header["reported_at"]
            is_older = bool(
                reported_at and panel.HasField("reported_at") and reported_at.timestamp() < panel.reported_at.seconds
            )
            if not is_older:
                await self._take_header(panel, incoming.header)
        rows = read_markers(incoming.markers, person_of(panel), self._aliases)
        await self._store_markers(panel, incoming.markers, rows, is_older=is_older)

    async def _same_panel(self, header: Mapping[str, Any]) -> Any:
        table = blood_panels.c
        same = [table[name].is_not_distinct_from(sa.cast(header[name], table[name].type)) for name in SAME_PANEL]
        statement = sa.select(sa.cast(table.id, sa.Text)).where(
            table.user_id == self._user_id, table.deleted_at.is_(None), *same
        )
        known = (await self._connection.execute(statement)).scalar()
        return await PANELS.lock(self._connection, known, "") if known else None

    async def _take_header(self, panel: Any, header: Mapping[str, Any]) -> None:
        """What a later report says of a panel that an import brought."""
        table = blood_panels.c
        said = {name: header[name] for name in ("reported_at", "lab_provider") if header[name] is not None}
        differs = [table[name].is_distinct_from(sa.cast(value, table[name].type)) for name, value in said.items()]
        is_it = (table.user_id == self._user_id) & (table.id == UUID(panel.id)) & table.import_id.is_not(None)
        if not differs:
            return
        changed = sa.and_(is_it, sa.or_(*differs))
        await self._remember(blood_panels, changed)
        values = {**said, "import_id": self._import_id, "updated_at": changed_at(blood_panels)}
        await self._connection.execute(sa.update(blood_panels).where(changed).values(values))

    async def _store_markers(
        self, panel: Any, entered: Sequence[Mapping[str, Any]], rows: Sequence[dict[str, Any]], *, is_older: bool
    ) -> None:
        stored = await self._stored(panel.id)
        by_key = {row["marker_key"]: row for row in stored}
        by_print = {_printed_name(row): row for row in stored}
        seen: dict[Any, Mapping[str, Any]] = {}
        new: list[dict[str, Any]] = []
        changed: list[tuple[Mapping[str, Any], dict[str, Any]]] = []
        for marker, row in zip(entered, rows, strict=True):
            place = marker["source_place"]
            row |= {name: marker[name] for name in _PROVENANCE}
            known = by_key.get(row["marker_key"]) or by_print.get(_printed_name(row))
            identity = known["id"] if known else row["marker_key"]
            if earlier := seen.get(identity):
                if _same(earlier, row):
                    self._account.unchanged += 1
                else:
                    message = (
                        f"the panel has this marker once, and {earlier['source_place']} has it with another result"
                    )
                    self._account.reject(place, "repeated", message)
                continue
            seen[identity] = row
            self._tell_unknown(place, marker, row)
            if known is None:
                new.append(row)
                self._account.stored += 1
            elif _same(known, row):
                self._account.unchanged += 1
            elif known["import_id"] is None or is_older:
                self._account.kept += 1
            else:
                changed.append((known, row))
                self._account.updated += 1
        await self._write(panel, new, changed)

    def _tell_unknown(self, place: str, marker: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        # What the code speaks against has been told.
        if row["biomarker"] is not None or marker["biomarker"] is not None:
            return
        match = match_of(marker, self._aliases)
        possible = [match.slug] if match.slug else [candidate.slug for candidate in match.candidates]
        unit = row["unit"]
        if unit and possible and not any(_accepts(slug, unit) for slug in possible):
            self._account.doubt(place, "unit_unknown", "its unit is none of the marker's; it is kept as printed")
        else:
            self._account.doubt(
                place, "marker_unknown", "the dictionary does not know it for sure; it is kept as printed"
            )

    async def _stored(self, panel_id: str) -> list[Any]:
        table = blood_markers.c
        names = ("id", "marker_key", "import_id", *NAMES, *RESULT)
        statement = sa.select(*(table[name] for name in names)).where(
            table.user_id == self._user_id, table.panel_id == UUID(panel_id), table.deleted_at.is_(None)
        )
        return list((await self._connection.execute(statement)).mappings())

    async def _write(
        self, panel: Any, new: Sequence[dict[str, Any]], changed: Sequence[tuple[Mapping[str, Any], dict[str, Any]]]
    ) -> None:
        table = blood_markers.c
        for known, row in changed:
            is_it = (table.user_id == self._user_id) & (table.id == known["id"])
            await self._remember(blood_markers, is_it)
            values = {**row, "import_id": self._import_id, "updated_at": changed_at(blood_markers)}
            await self._connection.execute(sa.update(blood_markers).where(is_it).values(values))
        if new:
            of_panel = {
                "user_id": self._user_id,
                "panel_id": UUID(panel.id),
                "collected_date": date.fromisoformat(panel.collected_date),
                "import_id": self._import_id,
            }
            rows = [{"id": uuid7(), **row, **of_panel} for row in new]
            # Asked for an answer, it is one statement, and one row of the audit trail.
            await self._connection.execute(sa.insert(blood_markers).returning(table.id), rows)

    async def _remember(self, table: sa.Table, which: sa.ColumnElement[bool]) -> None:
        """Copies rows that this import is about to change; its own need no copy."""
        copies = sa.select(
            table.c.user_id,
            sa.literal(self._import_id),
            sa.literal(table.name),
            table.c.id,
            sa.func.to_jsonb(sa.literal_column(table.name)),
        ).where(which, table.c.import_id != self._import_id)
        names = ["user_id", "import_id", "table_name", "row_id", "before"]
        await self._connection.execute(insert(lab_import_changes).from_select(names, copies).on_conflict_do_nothing())


def _accepts(slug: str, unit: str) -> bool:
    try:
        units_of(slug).read(unit)
    except UnitRefused:
        return False
    return True


def _printed_name(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["raw_name"].lower(), row["specimen"] or "", row["unit"] or ""


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    coded = not (one["loinc_code"] and other["loinc_code"]) or one["loinc_code"] == other["loinc_code"]
    names = (name for name in NAMES if name != "loinc_code")
    return coded and all(one[name] == other[name] for name in (*names, *RESULT))
