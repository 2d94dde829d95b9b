"""Finding biomarkers by what people type."""

import re
from collections.abc import Iterator, Mapping

from services.labs.biomarkers.catalogue import Catalogue, Marker
from services.labs.matching.names import plain

_WORD = re.compile(r"[^\W_]+")


class Search:
    """All names of a dictionary as words, read once."""

    def __init__(self, dictionary: Catalogue) -> None:
        self._markers = list(dictionary.markers.values())
        self._by_loinc = dictionary.by_loinc
        self._names = {marker.slug: [_words(name) for name in marker.names()] for marker in self._markers}
        self._texts: Mapping[str, set[str]] = {
            marker.slug: {plain(name) for name in marker.names()} for marker in self._markers
        }

    def find(self, text: str) -> list[Marker]:
        """The markers of which some name has every word of the text, or words that begin so.

        The best come first: a name that is the text, the display name, any other
        name; among equals the dictionary's order. A LOINC code finds its marker,
        no words find nothing.
        """
        if marker := self._by_loinc.get(text.strip()):
            return [marker]
        wanted = list(dict.fromkeys(_words(text)))
        if not wanted:
            return []
        ranked = [
            (rank, order, marker)
            for order, marker in enumerate(self._markers)
            if (rank := self._rank(marker, wanted, plain(text))) is not None
        ]
        return [marker for _, _, marker in sorted(ranked, key=lambda entry: entry[:2])]

    def _rank(self, marker: Marker, wanted: list[str], text: str) -> int | None:
        if text in self._texts[marker.slug]:
            return 0
        return next((1 + bool(place) for place in self._places(marker, wanted)), None)

    def _places(self, marker: Marker, wanted: list[str]) -> Iterator[int]:
        """The places, among the marker's names, of those that have the words."""
        for place, words in enumerate(self._names[marker.slug]):
            if all(any(word.startswith(start) for word in words) for start in wanted):
                yield place


def _words(text: str) -> list[str]:
    return _WORD.findall(plain(text))
