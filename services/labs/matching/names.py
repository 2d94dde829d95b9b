"""A marker's name as words that can be compared, whatever language, order and punctuation it came in."""

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from services.labs.matching.words import (
    GROUPS,
    METHODS,
    OF_A_DAY,
    OF_ONE_VOID,
    OF_WHOLE_BLOOD,
    ONLY_COLUMNS,
    RED_CELLS,
    SAME,
    SPECIMENS,
)

LONGEST_NAME = 200

_WORD = re.compile(r"[a-z0-9α-ω]+|[%#]")
# `B-12`, `T 3`; but the 25 of `Vitamin D, 25-OH` is the hydroxy group's.
_LETTER_AND_NUMBER = re.compile(r"\b([a-z])[ -](\d+)\b(?!\W{0,2}(?:oh|hydroxy))")
_BRITISH = (
    ("haem", "hem"),
    ("oest", "est"),
    ("sulph", "sulf"),
    ("leuco", "leuko"),
    ("aemia", "emia"),
    ("oedema", "edema"),
)
_PLURAL = re.compile(r"(?<=[a-rt-z]{4})s$")
# `Calcium, S`, `Albumin (U)`, `Kreatinin i.S.`: but the S of `Protein S` is its name.
_LETTER_OF_SPECIMEN = re.compile(r"^(?P<name>.*?)\s*(?:,\s*(?P<a>[SPBU])|\((?P<b>[SPBU])\)|\bi\.\s?(?P<c>[SPBU])\.?)$")
# `S-Kreatinin`, `fP-Glukos`: but `P-Amylase` is the pancreas's.
_NORDIC = re.compile(r"^(?:(?P<a>f?S|fP|d?U)-(?=[A-Za-zÅÄÖåäö]{3}))(?P<name>.*)$")
_PARTS = re.compile(r"\s*[()\[\]]\s*|\s+-\s+|/|\s*=\s*")
# LOINC's long names: `Glucose [Mass/volume] in Serum or Plasma by Test strip`. What is only present or not is another
# marker than what is measured.
_LOINC_NAME = re.compile(
    r"(?P<name>[^\[]+?)\s*\[(?!presence|interpretation|titer|type)[^\]]+\]"
    r"(?:\s+(?:in|of)\s+(?P<specimen>.+?))?(?:\s+by\s+.+)?",
    re.IGNORECASE,
)


class Name(NamedTuple):
    """A name by its words, in order; `ordered` if their order is part of what it says."""

    words: tuple[str, ...]
    ordered: bool

    @property
    def key(self) -> str:
        """What two names with the same words have in common."""
        return " ".join(self.words if self.ordered else sorted(self.words))

    @property
    def squeezed(self) -> str:
        """The letters alone: HbA1c and Hb A1c."""
        return "".join(self.words)


def plain(text: str) -> str:
    """Lower case without accents, single blanks."""
    if text.isascii():
        return " ".join(text[:LONGEST_NAME].lower().split())
    decomposed = unicodedata.normalize("NFKD", text[:LONGEST_NAME].casefold())
    return " ".join("".join(c for c in decomposed if not unicodedata.combining(c)).split())


@lru_cache(maxsize=16384)
def name_of(text: str) -> Name:
    """The words of a name. A quotient's are ordered, because LDL/HDL is not HDL/LDL."""
    simple = plain(text).replace("lc/ms/ms", "lcmsms").replace("lc/ms", "lcms")
    words = tuple(_word(word) for word in _WORD.findall(_LETTER_AND_NUMBER.sub(r"\1\2", simple)))
    return Name(words, "ratio" in words or "/" in simple)


@lru_cache(maxsize=4096)
def _word(word: str) -> str:
    for british, american in _BRITISH:
        word = word.replace(british, american)
    word = SAME.get(word, word)
    word = _PLURAL.sub("", word)
    return SAME.get(word, word)


def parts_of(text: str) -> list[str]:
    """The names side by side in `ALT (SGPT)`, `AST/SGOT`, `TSH - Thyrotropin`; one if there is nothing to split."""
    return [part for part in _PARTS.split(text) if part.strip()]


def without_specimen(text: str, name: Name) -> list[tuple[Name, str]]:
    """The name without the words that say where it was measured, and what they say; without blood's words last."""
    for pattern in (_LETTER_OF_SPECIMEN, _NORDIC):
        if (found := pattern.match(text.strip())) and plain(found["name"]) != "protein":
            letter = next(filter(None, map(found.groupdict().get, "abc")))[-1].lower()
            return [(name_of(found["name"]), SPECIMENS[letter])]
    said = [(word, SPECIMENS[word]) for word in name.words if word in SPECIMENS and word not in ONLY_COLUMNS]
    if not said:
        return []
    first = {word for word, specimen in said if GROUPS.get(specimen) != "blood"}
    steps = [first] if first else []
    steps.append({word for word, _ in said})
    shorter = []
    for taken in steps:
        left = tuple(word for word in name.words if word not in taken)
        specimen = next(specimen for word, specimen in said if word in taken)
        if specimen == "urine":
            specimen = "urine_24h" if any(word.startswith("24") for word in left) else "urine"
            left = tuple(word for word in left if word not in OF_A_DAY and word not in OF_ONE_VOID)
        if specimen == "blood":
            left = tuple(word for word in left if word not in OF_WHOLE_BLOOD)
        if left:
            shorter.append((Name(left, name.ordered), specimen))
    return shorter


def loinc_name(text: str) -> tuple[Name, str] | None:
    """The component and the specimen of one of LOINC's long names."""
    found = _LOINC_NAME.fullmatch(text.strip())
    if not found:
        return None
    specimen = found["specimen"] or ""
    known = specimen_of(specimen) if specimen else ""
    return None if specimen and not known else (name_of(found["name"]), known)


def without_methods(name: Name) -> Name | None:
    """The name without the words that only say how it was measured; None if it has none, or nothing else."""
    # What a reflex would have led to is another marker's name.
    words = name.words[: name.words.index("reflex")] if "reflex" in name.words else name.words
    left = tuple(word for word in words if word not in METHODS)
    return Name(left, "ratio" in left) if left and len(left) < len(name.words) else None


@lru_cache(maxsize=1024)
def specimen_of(text: str) -> str:
    """The specimen that a column, or a section of a report, says; "" when it says none that is known."""
    simple = plain(text)
    if simple in RED_CELLS:
        return "red_cells"
    words = _WORD.findall(simple)
    said = {SPECIMENS[word] for word in words if word in SPECIMENS and (word not in ONLY_COLUMNS or len(words) <= 2)}
    if "urine" in said and any(word.startswith("24") for word in words):
        return "urine_24h"
    if said == {"serum", "plasma"}:
        return "serum"
    if said == {"arterial_blood", "blood"}:
        return "arterial_blood"
    return said.pop() if len(said) == 1 else ""
