"""What becomes of an import's panels beside those that are there: pure.

A panel is the same as one that is there by its day and time, laboratory, name
and specimen; a marker by what the panel knows it by (reading.py), or by what is
printed, where the dictionary has learnt its name since. What an import brought,
a later one may change or, where the laboratory takes it back, delete; what a
person entered or corrected, and what the laboratory reported later, stays.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Any
from uuid import UUID

from services.kit.database import uuid7
from services.labs.interchange.prepare import Account, Panel, match_of
from services.labs.panels.judge import Person
from services.labs.panels.reading import marker_key, read_markers
from services.labs.panels.store import OF_THE_PERSON
from services.labs.reports import CORRECTED, FINAL, PRELIMINARY
from services.labs.units import units_of

# What a panel is the same by.
SAME_PANEL = ("collected_date", "lab_name", "panel_name", "specimen_id", "collected_at")
# What a later report says of a panel that an import brought.
LATER = ("reported_at", "lab_provider", "lab_comment")
# In these a corrected result differs. A LOINC code or a comment that only one of the two has says nothing against
# the other.
RESULT = ("comparator", "value_numeric", "value_text", "unit", "ref_range_text", "flag")
NAMES = ("raw_name", "specimen", "sub_panel", "loinc_code")
_PROVENANCE = ("source_id", "source_place", "lab_comment")
# The higher goes before the lower, in whichever order a report has them.
_RANKS = {PRELIMINARY: 0, FINAL: 1, CORRECTED: 2}

Row = dict[str, Any]


class _Markers:
    """Markers by what they are known by."""

    def __init__(self) -> None:
        self._by_key: dict[Any, Row] = {}
        self._by_print: dict[Any, Row] = {}

    def put(self, row: Row) -> None:
        self._by_key[row["marker_key"]] = self._by_print[_printed_name(row)] = row

    def drop(self, row: Row) -> None:
        for table, key in ((self._by_key, row["marker_key"]), (self._by_print, _printed_name(row))):
            if table.get(key) is row:
                del table[key]

    def find(self, row: Row) -> Row | None:
        """The marker that a result is another report of."""
        return self._by_key.get(row["marker_key"]) or self._by_print.get(_printed_name(row))


class StoredPanel:
    """A panel as it is, or is going to be: its row, its markers, and those that the laboratory has taken back."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.markers = _Markers()
        self.withdrawn = _Markers()

    @property
    def person(self) -> Person:
        return Person(**{name: self.row.get(name) for name in OF_THE_PERSON})


class Changes:
    """What is to be written, by the rows' ids; `renamed` are the changed ones that get another key."""

    def __init__(self) -> None:
        self.new_panels: dict[UUID, Row] = {}
        self.changed_panels: dict[UUID, Row] = {}
        self.new: dict[UUID, Row] = {}
        self.changed: dict[UUID, Row] = {}
        self.renamed: set[UUID] = set()
        self.withdrawn: set[UUID] = set()


class Merge:
    """Merges some panels of one import into those that are there, and keeps account."""

    def __init__(
        self, panels: Sequence[StoredPanel], import_id: UUID, aliases: Mapping[str, str], account: Account
    ) -> None:
        self._panels = {same_panel(panel.row): panel for panel in panels}
        self._import_id = import_id
        self._aliases = aliases
        self._account = account
        self.changes = Changes()

    def take(self, incoming: Sequence[Panel]) -> None:
        """Merges the panels in their order."""
        for panel, rows in zip(incoming, self._read(incoming), strict=True):
            self._take(panel, rows)

    def _read(self, incoming: Sequence[Panel]) -> list[list[Row]]:
        """The rows of each panel's markers; all of one person's at once, as they have the same few names."""
        places: dict[Person, list[int]] = {}
        for at, panel in enumerate(incoming):
            stored = self._panels.get(same_panel(panel.header))
            places.setdefault(stored.person if stored else Person(), []).append(at)
        rows: list[list[Row]] = [[] for _ in incoming]
        for person, of_them in places.items():
            markers = [marker for at in of_them for marker in incoming[at].markers]
            read = iter(read_markers(markers, person, self._aliases))
            for at in of_them:
                rows[at] = list(islice(read, len(incoming[at].markers)))
        return rows

    def _take(self, incoming: Panel, rows: Sequence[Row]) -> None:
        header = incoming.header
        panel = self._panels.get(same_panel(header))
        if panel is None and not rows:
            for marker in incoming.withdrawn:
                self._account.reject(marker["source_place"], "not_readable", marker["withdrawn"])
            return
        self._account.days.add(header["collected_date"])
        is_older = is_newer = False
        if panel is None:
            panel = self._new_panel(header)
        else:
            before, now = panel.row["reported_at"], header["reported_at"]
            is_older, is_newer = (before and now and now < before), (before and now and now > before)
            if not is_older and panel.row["import_id"] is not None:
                self._take_header(panel, header)
        for marker, row in zip(incoming.markers, rows, strict=True):
            row |= {name: marker[name] for name in _PROVENANCE}
        if incoming.withdrawn:
            instead = {found["id"] for row in rows if (found := panel.markers.find(row))}
            for marker in incoming.withdrawn:
                self._withdraw(panel, marker, instead, is_older=is_older)
        self._take_markers(panel, incoming.markers, rows, is_older=is_older, is_newer=is_newer)

    def _new_panel(self, header: Mapping[str, Any]) -> StoredPanel:
        row = {**header, "id": uuid7(), "import_id": self._import_id}
        self.changes.new_panels[row["id"]] = row
        self._account.panels_stored += 1
        panel = self._panels[same_panel(row)] = StoredPanel(row)
        return panel

    def _take_header(self, panel: StoredPanel, header: Mapping[str, Any]) -> None:
        said = {name: header[name] for name in LATER if header[name] is not None}
        if all(panel.row[name] == value for name, value in said.items()):
            return
        panel.row |= {**said, "import_id": self._import_id}
        if panel.row["id"] not in self.changes.new_panels:
            self.changes.changed_panels[panel.row["id"]] = panel.row

    def _take_markers(
        self,
        panel: StoredPanel,
        entered: Sequence[Mapping[str, Any]],
        rows: Sequence[Row],
        *,
        is_older: bool,
        is_newer: bool,
    ) -> None:
        known = [panel.markers.find(row) for row in rows]
        # What a marker is going to be known by, another row may be known by already.
        keys = {row["marker_key"]: found["id"] for found, row in zip(known, rows, strict=True) if found}
        identities = [
            found["id"] if found else keys.get(row["marker_key"], row["marker_key"])
            for found, row in zip(known, rows, strict=True)
        ]
        counts: dict[Any, int] = {}
        for at, identity in enumerate(identities):
            first = counts.setdefault(identity, at)
            if _RANKS[entered[at]["status"]] > _RANKS[entered[first]["status"]]:
                counts[identity] = at
        for at, (marker, row, found) in enumerate(zip(entered, rows, known, strict=True)):
            if (best := counts[identities[at]]) != at:
                self._repeated(marker, row, entered[best], rows[best])
                continue
            self._tell_doubts(marker, row)
            gone = panel.withdrawn.find(row)
            if found is None and gone and (is_older or _same(gone, row | {"lab_comment": None})):
                self._account.kept += 1
            elif found is None:
                self._put(panel, {**row, "id": uuid7()}, None)
                self._account.stored += 1
            elif _same(found, row):
                self._account.unchanged += 1
            elif found["import_id"] is None or is_older or (marker["status"] == PRELIMINARY and not is_newer):
                self._account.kept += 1
            else:
                self._put(panel, {**row, "id": found["id"]}, found)
                self._account.updated += 1

    def _repeated(self, marker: Mapping[str, Any], row: Row, counted: Mapping[str, Any], other: Row) -> None:
        if _same(other, row | {"lab_comment": None}):
            self._account.unchanged += 1
            return
        place = counted["source_place"]
        message = f"the panel has this marker once, and {place} has it with another result"
        self._account.reject(marker["source_place"], "repeated", message)

    def _put(self, panel: StoredPanel, row: Row, before: Row | None) -> None:
        row |= {
            "panel_id": panel.row["id"],
            "collected_date": panel.row["collected_date"],
            "import_id": self._import_id,
        }
        if before is None or row["id"] in self.changes.new:
            self.changes.new[row["id"]] = row
        else:
            self.changes.changed[row["id"]] = row
            if before["marker_key"] != row["marker_key"]:
                self.changes.renamed.add(row["id"])
        if before is not None:
            panel.markers.drop(before)
        panel.markers.put(row)

    def _withdraw(
        self, panel: StoredPanel, marker: Mapping[str, Any], instead: Collection[UUID], *, is_older: bool
    ) -> None:
        """Takes a result back, unless the same report has another one of this marker, which are `instead`."""
        slug = match_of(marker, self._aliases).slug
        found = panel.markers.find({**marker, "marker_key": marker_key(slug, marker)})
        if found is None or found["id"] in instead:
            self._account.reject(marker["source_place"], "not_readable", marker["withdrawn"])
        elif found["import_id"] is None or is_older:
            self._account.kept += 1
        else:
            panel.markers.drop(found)
            panel.withdrawn.put(found)
            self._account.withdrawn += 1
            self.changes.changed.pop(found["id"], None)
            if self.changes.new.pop(found["id"], None) is None:
                self.changes.withdrawn.add(found["id"])

    def _tell_doubts(self, marker: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        place = marker["source_place"]
        if marker["status"] == PRELIMINARY:
            self._account.doubt(place, "preliminary", "the laboratory may still change it")
        # What the code speaks against has been told.
        if row["biomarker"] is not None or marker["biomarker"] is not None:
            return
        match = match_of(marker, self._aliases)
        possible = [match.slug] if match.slug else [candidate.slug for candidate in match.candidates]
        unit = row["unit"]
        if unit and possible and not any(units_of(slug).accepts(unit) for slug in possible):
            self._account.doubt(place, "unit_unknown", "its unit is none of the marker's; it is kept as printed")
        else:
            self._account.doubt(
                place, "marker_unknown", "the dictionary does not know it for sure; it is kept as printed"
            )


def same_panel(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a panel is the same by."""
    return tuple(row[name] for name in SAME_PANEL)


def _printed_name(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["raw_name"].lower(), row["specimen"] or "", row["unit"] or ""


def _same(stored: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Whether a result is the one that is there, and says nothing new about it."""
    coded = not (stored["loinc_code"] and row["loinc_code"]) or stored["loinc_code"] == row["loinc_code"]
    told = row["lab_comment"] in (None, stored["lab_comment"])
    names = (name for name in NAMES if name != "loinc_code")
    return coded and told and all(stored[name] == row[name] for name in (*names, *RESULT))
