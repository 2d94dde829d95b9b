"""Texts as words that can be compared: case, accents, hyphens and plurals make no difference."""

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

# Letters that no decomposition takes apart.
_LIGATURES = str.maketrans({"œ": "oe", "æ": "ae", "ø": "o", "ł": "l", "ı": "i"})
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_WORDS = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|\.(?=\s|$)|[,;:!?()\[\]{}\n/&+]")


class Word(NamedTuple):
    """A word as it stands in lower case, without accents, and its stem; of a punctuation mark the stem is empty."""

    text: str
    stem: str


def words(text: str) -> list[Word]:
    """The words of a text and the marks between them."""
    return [
        Word(found, stem(found)) if found[0].isalnum() else Word(found, "")
        for found in (match.group().replace("'", "").replace("’", "") for match in _WORDS.finditer(_folded(text)))
    ]


def keys(term: str) -> Iterator[str]:
    """What a term is looked up by: its stems without blanks; with umlauts, in both ways of writing them."""
    yield "".join(word.stem for word in words(term))
    lower = term.lower()
    if (expanded := lower.translate(_UMLAUTS)) != lower:
        yield "".join(word.stem for word in words(expanded))


def stem(word: str) -> str:
    """The word without the ending of a plural, the same for both: `berry` of berries, `peach` of peaches, `egg`."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ches", "shes", "xes", "sses", "zes", "oes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _folded(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold().translate(_LIGATURES))
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))
