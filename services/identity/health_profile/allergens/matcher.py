"""Finds the allergens that a text names: a name, an ingredient, a list of ingredients, a line on a package.

A text is read from left to right; at each word the longest term counts, so that
"coconut milk" is coconut and "cream of tartar" nothing. Words are compared as
wholes: an eggplant is no egg. What no term has is compared with those that
begin with the same letter, by their distance (optimal string alignment), unless
it is a word that is known to name nothing. Data is in allergens.toml and
phrases.toml; nothing here knows an allergen.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from rapidfuzz import process
from rapidfuzz.distance import OSA

from services.identity.health_profile.allergens.catalogue import CATALOGUE, Allergen, Catalogue, id_of, read
from services.identity.health_profile.allergens.words import Word, keys, words

CONTAINS, MAY_CONTAIN = "contains", "may_contain"
CONFIDENCE = {"exact": 1.0, "synonym": 1.0, "derivative": 0.95}
# What a similarity counts at the most: a misspelt name is never as sure as a name.
FUZZY = 0.9
# Letters, and words.
SHORTEST_FUZZY, LONGEST_FUZZY_SPAN = 5, 3
# One letter may be wrong in a word of fewer letters, two in a longer one.
ONE_WRONG_BELOW = 10
# What phrases.toml calls the phrases that are looked for as terms are.
KINDS = (
    "nothing",
    "may_contain",
    "may_be_present",
    "doubts",
    "contains",
    "without",
    "conjunctions",
    "vegan",
    "phrase_ends",
)


class Match(NamedTuple):
    """An allergen that a text names, how, how sure it is (0 to 1), whether it may only be there, and the words."""

    allergen: Allergen
    method: str
    confidence: float
    kind: str = CONTAINS
    words: str = ""
    # Whether the words name other allergens too, as "pesto" does.
    one_of_several: bool = False


class Term(NamedTuple):
    """A name of an allergen, and what kind of name it is: a key of CONFIDENCE."""

    allergen: Allergen
    method: str


class _Found(NamedTuple):
    """A match, what its words are a name of, and the phrase of the text that it stands in."""

    match: Match
    method: str
    phrase: int


class _Reading:
    """One text, read once from left to right. Phrases are what commas, "and" and "with" divide."""

    def __init__(self, matcher: "Matcher", text: str) -> None:
        self._matcher = matcher
        self._words = words(text)
        self._at = self._phrase = self._depth = 0
        # The depth of brackets that "may contain" stands in, if what follows it may be there.
        self._may: int | None = None
        # Whether "without" stands before this word, or before what the last word was; and before a colon and a list.
        self._without = self._was_without = self._listed = False
        # Whether the sentence says that something cannot be guaranteed: then nothing in it is said to be absent.
        self._doubt = False
        self._found: list[_Found] = []
        # How much had been found before the last comma: "may be present" is about what came after it, unless that
        # is what the text contains.
        self._before: int | None = 0
        self._free: dict[int, set[UUID]] = defaultdict(set)
        self._vegan_phrases: set[int] = set()

    def matches(self) -> list[Match]:
        while self._at < len(self._words):
            word = self._words[self._at]
            if word.stem:
                self._read_word(word)
            else:
                self._read_mark(word.text)
                self._at += 1
        return [found.match for found in self._found if not self._said_to_be_absent(found)]

    def _said_to_be_absent(self, found: _Found) -> bool:
        """Whether its phrase says so elsewhere: "gluten-free bread" has bread, and no wheat."""
        allergen_id = found.match.allergen.id
        if found.phrase in self._vegan_phrases and allergen_id in self._matcher.animal:
            return True
        return found.method == "derivative" and allergen_id in self._free[found.phrase]

    def _read_mark(self, mark: str) -> None:
        if mark == ":":
            self._listed = self._without
            return
        if mark in "/&+":
            self._and()
            return
        self._without = self._listed and mark == ","
        self._was_without = False
        self._before = len(self._found)
        self._phrase += mark not in "()[]{}"
        if mark in "([{":
            self._depth += 1
        elif mark in ")]}":
            self._depth -= 1
            if self._may is not None and self._depth < self._may:
                self._may = None
        elif mark != ",":
            self._may = None
            self._listed = self._doubt = False

    def _read_word(self, word: Word) -> None:
        matcher, run = self._matcher, self._run()
        for length in range(run, 0, -1):
            key = self._key(length)
            if terms := matcher.terms.get(key):
                self._read_terms(length, terms, 1.0)
                return
            if kind := matcher.phrases.get(key):
                self._read_phrase(kind)
                self._at += length
                return
        if (free := self._compound(word)) is not None:
            self._are_absent(free)
            self._at += 1
            return
        for length in range(min(LONGEST_FUZZY_SPAN, run), 0, -1):
            if found := matcher.nearest(self._key(length)):
                self._read_terms(length, matcher.terms[found[0]], found[1] * FUZZY)
                return
        if word.stem not in matcher.fillers:
            self._something()
        self._at += 1

    def _run(self) -> int:
        """How many words follow each other from here on, as far as a term can be that long."""
        following = self._words[self._at : self._at + self._matcher.longest_span]
        return next((length for length, word in enumerate(following) if not word.stem), len(following))

    def _key(self, length: int) -> str:
        return "".join(word.stem for word in self._words[self._at : self._at + length])

    def _compound(self, word: Word) -> list[Term] | None:
        """What a word such as "glutenfrei" says is absent."""
        for ending in self._matcher.free:
            if word.stem.endswith(ending) and (terms := self._matcher.terms.get(word.stem.removesuffix(ending))):
                return terms
        return None

    def _read_terms(self, length: int, terms: list[Term], confidence: float) -> None:
        start, self._at = self._at, self._at + length
        if self._free_follows():
            self._at += 1
            # "Not nut-free" and "no nut-free dishes" are warnings.
            denied = self._without or (start > 0 and self._words[start - 1].stem in self._matcher.denials)
            if not (denied or self._doubt):
                self._are_absent(terms)
                return
        elif self._without:
            self._something()
            return
        self._was_without = False
        text = " ".join(word.text for word in self._words[start : self._at])
        for allergen, method in terms:
            fuzzy = confidence < 1
            match = Match(
                allergen,
                "fuzzy" if fuzzy else method,
                round(confidence * CONFIDENCE[method], 2),
                CONTAINS if self._may is None else MAY_CONTAIN,
                text,
                len(terms) > 1,
            )
            self._found.append(_Found(match, method, self._phrase))

    def _free_follows(self) -> bool:
        following = [word.stem for word in self._words[self._at : self._at + 2]]
        return (
            following[:1] != []
            and following[0] in self._matcher.free
            and not (following[1:] and following[1] in self._matcher.not_free)
        )

    def _are_absent(self, terms: list[Term]) -> None:
        """Whoever says "lactose-free" says nothing of milk: only an allergen's own name tells of what is made of it."""
        named = [term.allergen.id for term in terms if term.method != "derivative"]
        self._free[self._phrase] |= self._matcher.with_members(named)

    def _read_phrase(self, kind: str) -> None:
        match kind:
            case "may_contain":
                # "Without traces of" is no warning.
                if not self._without:
                    self._may = self._depth
            case "may_be_present":
                if self._before is not None:
                    self._found[self._before :] = map(_may_contain, self._found[self._before :])
            case "doubts":
                self._may, self._doubt = self._depth, True
            case "contains":
                self._may = None
                self._without = self._was_without = False
                self._before = None
            case "without":
                self._without = not self._doubt
            case "vegan":
                self._vegan_phrases.add(self._phrase)
            case "conjunctions":
                self._and()
            case "phrase_ends":
                self._phrase += 1
                self._without = self._was_without = False
            case "nothing":
                self._something()

    def _something(self) -> None:
        """What stands here is something: if "without" came before it, that is used up until "and" or "or"."""
        self._was_without |= self._without
        self._without = False

    def _and(self) -> None:
        self._phrase += 1
        self._without = self._was_without


def _may_contain(found: _Found) -> _Found:
    return found._replace(match=found.match._replace(kind=MAY_CONTAIN))


class Matcher:
    """Made once of the list and of the phrases; keeps nothing of what it reads."""

    def __init__(self, catalogue: Catalogue, phrases: Mapping[str, Sequence[str]]) -> None:
        self.catalogue = catalogue
        self.terms = _terms(catalogue)
        self.phrases = {key: kind for kind in KINDS for key in _keys(phrases[kind]) if key not in self.terms}
        self.fillers, self.free, self.not_free, self.denials = (
            frozenset(_keys(phrases[kind])) for kind in ("fillers", "free", "not_free", "denials")
        )
        self._none = frozenset(_keys(phrases["none"]))
        self.animal = self.with_members(map(id_of, phrases["animal"]))
        self.longest_span = max(
            len(words(text)) for text in (*_texts(catalogue), *(text for texts in phrases.values() for text in texts))
        )
        # Terms by their first letter and length.
        self._fuzzy: dict[tuple[str, int], list[str]] = {}
        for key in self.terms:
            if len(key) >= SHORTEST_FUZZY:
                self._fuzzy.setdefault((key[0], len(key)), []).append(key)

    def match(self, text: str) -> list[Match]:
        """What the text names, in its order; each allergen once for each kind, the surest."""
        best: dict[tuple[UUID, str], Match] = {}
        for match in _Reading(self, text).matches():
            key = match.allergen.id, match.kind
            if key not in best or match.confidence > best[key].confidence:
                best[key] = match
        return list(best.values())

    def named(self, name: str) -> list[Match]:
        """The allergens that a name stands for: none, one, or several if it names several.

        What belongs to a group that is named too is not named by itself, and
        what is made of several allergens ("pesto") is none of them.
        """
        found = {match.allergen.id: match for match in self.match(name) if not match.one_of_several}
        return [
            match
            for allergen_id, match in found.items()
            if not (self.catalogue.with_groups(allergen_id) - {allergen_id}) & found.keys()
        ]

    def says_none(self, name: str) -> bool:
        """Whether somebody who was asked for an allergy has written that they have none."""
        return "".join(word.stem for word in words(name)) in self._none

    def with_members(self, groups: Iterable[UUID]) -> frozenset[UUID]:
        """These allergens and all that belong to them."""
        wanted = frozenset(groups)
        return frozenset(one for one in self.catalogue.by_id if self.catalogue.with_groups(one) & wanted)

    def nearest(self, key: str) -> tuple[str, float] | None:
        """The term that is nearest to a misspelt one, and how like it is (0 to 1); None if none is near."""
        if len(key) < SHORTEST_FUZZY:
            return None
        nearest = None
        for length in range(len(key) - 2, len(key) + 3):
            wrong = 1 if min(length, len(key)) < ONE_WRONG_BELOW else 2
            terms = self._fuzzy.get((key[0], length), ())
            found = process.extractOne(key, terms, scorer=OSA.distance, score_cutoff=wrong)
            if found and (nearest is None or found[1] < nearest[1]):
                nearest = found
        return nearest and (nearest[0], OSA.normalized_similarity(key, nearest[0]))


def _terms(catalogue: Catalogue) -> dict[str, list[Term]]:
    """What names allergens, by its key."""
    terms: dict[str, list[Term]] = defaultdict(list)
    for allergen in catalogue.by_name:
        if allergen.is_active:
            names = {"exact": (allergen.name,), "synonym": allergen.synonyms, "derivative": allergen.derivatives}
            for method, texts in names.items():
                for key in _keys(texts):
                    if allergen not in (term.allergen for term in terms[key]):
                        terms[key].append(Term(allergen, method))
    return dict(terms)


def _texts(catalogue: Catalogue) -> Iterable[str]:
    for allergen in catalogue.by_name:
        yield from (allergen.name, *allergen.synonyms, *allergen.derivatives)


def _keys(texts: Iterable[str]) -> Iterable[str]:
    return (key for text in texts for key in keys(text))


MATCHER = Matcher(CATALOGUE, read("phrases.toml"))
