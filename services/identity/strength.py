"""How hard a password is to guess: zxcvbn, offline.

A password needs a score of 3 of 4: at least 10**8 guesses, which Argon2id at our
cost makes years of one core. zxcvbn knows the 30,000 most common passwords, names,
words, keyboard patterns, repeats, sequences and dates.

Its work grows with the square of the length, and with the product of the ways to
read each distinct character such as `4` or `@` as a letter, which takes seconds
for a password made for it. So it sees the first 48 characters (which alone have
to be hard enough to guess), and six distinct such characters, whose readings it
tries; further ones are no letters to it. That is 25 ms at the most.
"""

import re
from collections.abc import Sequence

SCORE = 3
SEEN_LENGTH = 48
AMBIGUOUS = frozenset("4@8({[<369!1|70$5+%2")
MOST_AMBIGUOUS = 6
NEUTRAL = "~"
# Of a name or an address, what is too short to be a word of a password.
SHORTEST_WORD = 3
DEFAULT_HINT = "add another word or two, uncommon ones"


def weakness(password: str, own_words: Sequence[str]) -> str | None:
    """What is wrong with a password, as a hint that quotes nothing of it; None if it is strong enough."""
    # Not at the top: its dictionaries take memory that a worker need not have.
    from zxcvbn import zxcvbn

    result = zxcvbn(_bounded(password), user_inputs=_words(own_words))
    if result["score"] >= SCORE:
        return None
    feedback = result["feedback"]
    return str(feedback["warning"] or next(iter(feedback["suggestions"]), DEFAULT_HINT)).rstrip(".")


def _bounded(password: str) -> str:
    ambiguous: set[str] = set()
    seen = []
    for character in password[:SEEN_LENGTH]:
        if character in AMBIGUOUS:
            if len(ambiguous) < MOST_AMBIGUOUS:
                ambiguous.add(character)
            if character not in ambiguous:
                character = NEUTRAL
        seen.append(character)
    return "".join(seen)


def _words(own_words: Sequence[str]) -> list[str]:
    """The words themselves and their parts: of `ada.king@example.com` `ada`, `king`, `example` too."""
    parts = [part for word in own_words for part in re.split(r"[\s@._+-]+", word)]
    return [word[:100].lower() for word in [*own_words, *parts] if len(word) >= SHORTEST_WORD]
