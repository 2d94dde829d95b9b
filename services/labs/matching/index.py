"""The index of all names, built once, and the search in it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from typing import Any, NamedTuple

from rapidfuzz.distance import OSA
from rapidfuzz.process import extract

from services.labs.biomarkers.catalogue import Catalogue, Marker, catalogue
from services.labs.matching.names import (
    Name,
    loinc_name,
    name_of,
    parts_of,
    plain,
    specimen_of,
    without_methods,
    without_specimen,
)
from services.labs.matching.words import GROUPS, OTHER_SUBSTANCES, SAME, SHARE_OR_NUMBER
from services.labs.units import MarkerUnits, compile_units, is_unit

# How sure each way of finding a name is, before specimen and unit are looked at.
_CONFIDENCE = {
    "loinc": 1.0,
    "own_alias": 1.0,
    "exact": 1.0,
    "normalized": 0.97,
    "without_specimen": 0.95,
    "synonyms": 0.95,
    "without_method": 0.93,
    "by_unit": 0.9,
    "misspelt": 0.85,
}
# Ways that say which marker it is, and leave nothing to the name.
_SAID = ("own_alias", "loinc")
# Names this short are also abbreviations of something else: Al in g/dL is no aluminium.
_SHORT = 2
# Shorter words are spelt right, or are another word.
_SHORTEST_MISSPELT = 6
_MOST_SLIPS = 2


class Row(NamedTuple):
    """What a report says about one result: its name and, as far as it says so, the rest, as printed."""

    name: str
    unit: str = ""
    specimen: str = ""
    section: str = ""
    loinc: str = ""


class Candidate(NamedTuple):
    """A marker that it could be; `how` is a key of the ways that names are found by."""

    slug: str
    confidence: float
    how: str


class Match(NamedTuple):
    """The marker, or None where it is not sure; then `candidates` are what it might be, the likeliest first."""

    slug: str | None
    confidence: float
    how: str
    candidates: tuple[Candidate, ...]


_NONE = Match(None, 0.0, "", ())


class _Entry(NamedTuple):
    """A marker, as far as matching looks at it."""

    slug: str
    specimen: str
    group: str
    units: MarkerUnits


class MarkerIndex:
    """All names of a dictionary. Thread-safe once built; a search allocates nothing that stays."""

    def __init__(self, dictionary: Catalogue) -> None:
        self._entries = {slug: _entry(marker) for slug, marker in dictionary.markers.items()}
        self._loincs = {code: self._entries[marker.slug] for code, marker in dictionary.by_loinc.items()}
        exact, keys, squeezed, families = (defaultdict[Any, dict[str, _Entry]](dict) for _ in range(4))
        vocabulary = set(OTHER_SUBSTANCES) | set(SAME.values())
        for slug, marker in dictionary.markers.items():
            entry = self._entries[slug]
            for text in marker.names():
                name = name_of(text)
                exact[plain(text)][slug] = entry
                if SHARE_OR_NUMBER.keys() >= set(name.words):
                    # PCT is a name as it is written, and as a word a per cent sign.
                    continue
                keys[name.key][slug] = squeezed[name.squeezed][slug] = entry
                family, kind = _family(name)
                # A name that says neither is asked for by those that do not say it either.
                families[family, kind][slug] = families[family, ""][slug] = entry
                vocabulary.update(name.words)
        self._exact, self._keys, self._squeezed, self._families = (
            {key: tuple(found.values()) for key, found in table.items()} for table in (exact, keys, squeezed, families)
        )
        by_length = defaultdict[int, list[str]](list)
        for word in sorted(word for word in vocabulary if len(word) >= _SHORTEST_MISSPELT):
            for length in range(max(len(word) - _MOST_SLIPS, _SHORTEST_MISSPELT), len(word) + _MOST_SLIPS + 1):
                by_length[length].append(word)
        # The words that one of a length could be: each slip is one letter more or less at the most.
        self._vocabulary = {length: tuple(words) for length, words in by_length.items()}
        self._most_words = max(
            len(name_of(text).words) for each in dictionary.markers.values() for text in each.names()
        )
        self._known_words = frozenset(vocabulary)
        # Kept for the life of the index: a report's misspelt words are few.
        self._corrected = lru_cache(maxsize=4096)(self._correct)
        # Laboratories print the same on every report.
        self._matched = lru_cache(maxsize=4096)(lambda row: self._judge(row, self._found(row, {})))

    def match(self, row: Row, own: Mapping[str, str] | None = None) -> Match:
        """The marker of one row. `own` are aliases that go before the dictionary's: `alias_key(alias)` to a slug."""
        # Blanks in a row say nothing, and make some of the expressions slow.
        name = " ".join(row.name.split())
        if name != row.name:
            row = row._replace(name=name)
        return self._judge(row, self._found(row, own)) if own else self._matched(row)

    def match_many(self, rows: Iterable[Row], own: Mapping[str, str] | None = None) -> list[Match]:
        """`match` for each row; equal rows, of which reports are full, are looked at once."""
        answers: dict[Row, Match] = {}
        matched = []
        for row in rows:
            answer = answers.get(row)
            if answer is None:
                answer = answers[row] = self.match(row, own)
            matched.append(answer)
        return matched

    def _found(self, row: Row, own: Mapping[str, str]) -> Iterator[tuple[str, tuple[_Entry, ...], str]]:
        """(how, markers, what the name said about the specimen), the surest way first."""
        name = name_of(row.name)
        if own and (entry := self._entries.get(own.get(name.key, ""))) is not None:
            yield "own_alias", (entry,), ""
        if (entry := self._loincs.get(row.loinc)) is not None:
            yield "loinc", (entry,), ""
        if found := self._exact.get(plain(row.name)):
            yield "exact", found, ""
        if not name.words:
            return
        if found := self._by_words(name):
            yield "normalized", found, ""
        if (component := loinc_name(row.name)) and (found := self._by_words(component[0])):
            yield "without_method", found, component[1]
        shorter = without_specimen(row.name, name)
        for left, specimen in shorter:
            if found := self._by_words(left):
                yield "without_specimen", found, specimen
        for left, specimen in ((name, ""), *shorter):
            if (bare := without_methods(left)) and (found := self._by_words(bare)):
                yield "without_method", found, specimen
        if found := self._by_parts(row.name):
            yield "synonyms", found, ""
        for left, specimen in ((name, ""), *shorter, *([component] if component else ())):
            if found := self._by_family(left):
                yield "by_unit", found, specimen
        for left, specimen in ((name, ""), *shorter):
            if (corrected := self._spelt(left)) and (found := self._by_words(corrected)):
                yield "misspelt", found, specimen

    def _by_words(self, name: Name) -> tuple[_Entry, ...]:
        return self._keys.get(name.key) or self._squeezed.get(name.squeezed, ())

    def _by_parts(self, text: str) -> tuple[_Entry, ...]:
        """The markers that every part of `ALT (SGPT)` is a name of."""
        parts = parts_of(text)
        if not 1 < len(parts) <= 4:
            return ()
        common: dict[str, _Entry] | None = None
        for part in parts:
            name = name_of(part)
            found = {entry.slug: entry for entry in self._by_words(without_methods(name) or name)}
            common = found if common is None else {slug: found[slug] for slug in common if slug in found}
        return tuple((common or {}).values())

    def _by_family(self, name: Name) -> tuple[_Entry, ...]:
        """Of a differential count, those of which only the unit says whether it is the share or the number."""
        family, kind = _family(name)
        return self._families.get((family, kind)) or self._families.get((family, ""), ())

    def _spelt(self, name: Name) -> Name | None:
        """The name with its unknown words as they are spelt; None when one is too far from every word, or from one."""
        # A word takes a millisecond: a text that no name could be is not looked up, nor is the rest of one.
        if len(name.words) > self._most_words:
            return None
        words = []
        for word in name.words:
            spelt = word if word in self._known_words else self._corrected(word)
            if not spelt:
                return None
            words.append(spelt)
        return Name(tuple(words), name.ordered) if tuple(words) != name.words else None

    def _correct(self, word: str) -> str:
        allowed = _slips(word)
        if not allowed:
            return ""
        near = extract(word, self._vocabulary.get(len(word), ()), scorer=OSA.distance, score_cutoff=allowed, limit=2)
        near = [found for found in near if found[0][0] == word[0] and _slips(found[0]) >= found[1]]
        if not near or (len(near) > 1 and near[0][1] == near[1][1]):
            return ""
        return str(near[0][0])

    def _judge(self, row: Row, found: Iterator[tuple[str, tuple[_Entry, ...], str]]) -> Match:
        """The surest candidate that neither specimen nor unit speaks against."""
        stated = specimen_of(row.specimen)
        section = "" if stated else specimen_of(row.section)
        unsure: dict[str, Candidate] = {}
        for how, entries, in_name in found:
            said = stated or in_name or section
            if in_name and GROUPS.get(in_name) != GROUPS.get(said):
                continue
            possible = [entry for entry in entries if _may_be(entry, said)]
            fits = {entry.slug: _fits(entry.units, row.unit) for entry in possible}
            left = [e for e in possible if fits[e.slug]] or [e for e in possible if fits[e.slug] is None]
            chosen = _nearest(left, said)
            if len(chosen) > 1 and fits[chosen[0].slug]:
                # Of one quantity and yet not of one size: chromium in µg/L, creatinine in mg/dL.
                usual = [entry for entry in chosen if _lists(entry.units, row.unit)]
                chosen = usual if len(usual) == 1 else chosen
            shared = not said and len({entry.group for entry in possible}) > 1
            short = how not in _SAID and len(row.name.strip()) <= _SHORT
            fit = bool(chosen and fits[chosen[0].slug])
            unusual = fit and (shared or short) and not _lists(chosen[0].units, row.unit)
            stands = not (short and unusual) and (
                (fit and not unusual) or not _needs_unit(how, row, said, shared, self._loincs)
            )
            if len(chosen) == 1 and stands and not _needs_specimen(how, row, said, chosen[0]):
                return Match(chosen[0].slug, min(_CONFIDENCE[how], 0.9 if shared else 1), how, ())
            for entry in chosen or possible:
                unsure.setdefault(entry.slug, Candidate(entry.slug, 0.7 if chosen else 0.5, how))
            if how in _SAID:
                # Somebody has said which marker it is; what the name says besides does not make it sure.
                break
        if not unsure:
            return _NONE
        candidates = tuple(sorted(unsure.values(), key=lambda candidate: -candidate.confidence)[:3])
        return Match(None, candidates[0].confidence, candidates[0].how, candidates)


@cache
def marker_index() -> MarkerIndex:
    """The index of this version's dictionary, built once, in a third of a second."""
    return MarkerIndex(catalogue())


def alias_key(alias: str) -> str:
    """What an alias is known by in `own`."""
    return name_of(alias).key


def _entry(marker: Marker) -> _Entry:
    return _Entry(marker.slug, marker.specimen, GROUPS[marker.specimen], compile_units(marker))


def _family(name: Name) -> tuple[str, str]:
    """The name without the words for share or number, and which of the two they say; "" for neither or both."""
    kinds = {SHARE_OR_NUMBER[word] for word in name.words if word in SHARE_OR_NUMBER}
    left = tuple(word for word in name.words if word not in SHARE_OR_NUMBER)
    if not left or len(kinds) > 1:
        return name.key, ""
    return Name(left, name.ordered).key, "".join(kinds)


def _slips(word: str) -> int:
    """How many letters of a word may be wrong: none of a short one, or one with digits, of which each tells."""
    if len(word) < _SHORTEST_MISSPELT or not word.isalpha():
        return 0
    return 1 if len(word) < 10 else _MOST_SLIPS


def _may_be(entry: _Entry, said: str) -> bool:
    """Whether the marker is one of the specimen; of a day's urine only if it is said to be."""
    if not said:
        return True
    return entry.specimen == said if said == "urine_24h" else entry.group == GROUPS.get(said)


def _nearest(entries: list[_Entry], said: str) -> list[_Entry]:
    """Those of just the specimen before those of its group; where none is said, those of blood before others."""
    nearest = [e for e in entries if e.specimen == said] if said else [e for e in entries if e.group == "blood"]
    return nearest or entries


def _fits(units: MarkerUnits, printed: str) -> bool | None:
    """Whether the marker is measured in the printed unit; None when there is none, or none that is known."""
    if not printed.strip():
        return None
    if units.accepts(printed):
        return True
    return False if is_unit(printed) else None


def _lists(units: MarkerUnits, printed: str) -> bool:
    """Whether the unit is as large as one of the marker's own, and not only another of the same quantity."""
    read = units.read(printed)
    return any((read.slope, read.offset) == units.read(own)[1:] for own in units.accepted)


def _needs_specimen(how: str, row: Row, said: str, entry: _Entry) -> bool:
    """Whether it is sure only with a specimen: an abbreviation of two letters, but those of blood, such as pH."""
    known = how in _SAID or said or entry.group == "blood"
    return not known and len(row.name.strip()) <= _SHORT


def _needs_unit(how: str, row: Row, said: str, shared: bool, loincs: Mapping[str, _Entry]) -> bool:
    """Whether what was found is sure only with a unit that fits.

    It is not by itself where letters were put right, where the unit is what
    tells share from number, where other specimens have the same name and none
    is said, where the name is an abbreviation of two letters, and where the
    report has a LOINC code that no marker has.
    """
    if how in _SAID:
        return False
    foreign = bool(row.loinc) and row.loinc not in loincs
    short = not said and len(row.name.strip()) <= _SHORT
    return how in ("by_unit", "misspelt") or shared or foreign or short
