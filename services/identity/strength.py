"""How hard a password is to guess: zxcvbn, offline.

A password needs a score of 3 of 4: at least 10**8 guesses, which Argon2id at our
cost makes years of one core. zxcvbn knows the 30,000 most common passwords, names,
words, keyboard patterns, repeats, sequences and dates.

Its work grows with the square of the length, and with the product of the ways to
read each distinct character such as `4` or `@` as a letter, which takes seconds
for a password made for it. So it sees the first 48 characters (which alone have
to be hard enough to guess), and where there are more than six distinct such
characters, the symbols among them are no letters to it. That is 45 ms at the most,
and twice that for a password with blanks, which is looked at without them too: what
is repeated behind a blank is no repetition to zxcvbn.
"""

import re
from collections.abc import Sequence

SCORE = 3
SEEN_LENGTH = 48
DIGITS, SYMBOLS = frozenset("0123456789"), frozenset("@({[<!|$+%")
MOST_AMBIGUOUS = 6
NEUTRAL = "~"
# Of a name or an address, what is too short to be a word of a password.
SHORTEST_WORD, LONGEST_WORD = 3, 100
# What everybody here has in mind (OWASP ASVS 5, 6.2.11).
SHARED_WORDS = ("vitalis",)
DEFAULT_HINT = "add another word or two, uncommon ones"


def weakness(password: str, own_words: Sequence[str]) -> str | None:
    """What is wrong with a password, as a hint that quotes nothing of it; None if it is strong enough."""
    # Not at the top: its dictionaries take memory that a worker need not have.
    from zxcvbn import zxcvbn

    words = _words([*SHARED_WORDS, *own_words])
    for text in dict.fromkeys((password, "".join(password.split()))):
        result = zxcvbn(_bounded(text), user_inputs=words)
        if result["score"] < SCORE:
            feedback = result["feedback"]
            return str(feedback["warning"] or next(iter(feedback["suggestions"]), DEFAULT_HINT)).rstrip(".")
    return None


def _bounded(password: str) -> str:
    seen = password[:SEEN_LENGTH]
    if len((DIGITS | SYMBOLS) & set(seen)) <= MOST_AMBIGUOUS:
        return seen
    return "".join(NEUTRAL if character in SYMBOLS else character for character in seen)


def _words(own_words: Sequence[str]) -> list[str]:
    """The words themselves, their parts, and these in one: of `Ada King` `ada`, `king` and `adaking` too."""
    split = [re.split(r"[\s@._+-]+", word[:LONGEST_WORD]) for word in own_words]
    words = [*own_words, *(part for parts in split for part in parts), *("".join(parts) for parts in split)]
    return [word[:LONGEST_WORD].lower() for word in words if len(word) >= SHORTEST_WORD]
