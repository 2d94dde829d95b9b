"""Refuses JSON that is nested too deeply before a parser sees it.

The native JSON parser of protobuf-py 0.7 overflows the stack, which ends the
process, on some ten thousand opening brackets: a body of 100 KB could stop the
gateway. Every step here is one pass in C, about 2 us per kilobyte of rows.
"""

from array import array
from itertools import accumulate

# A level of a google.protobuf.Struct is three messages deep, and a service's parser stops at 100.
MAX_DEPTH = 32
# Brackets as the bytes of +1 and -1; everything but brackets and quotes is left out.
STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
REST = bytes(set(range(256)) - set(b'[]{}"'))


def is_too_deep(body: bytes) -> bool:
    """Whether JSON text has more than `MAX_DEPTH` levels of arrays and objects."""
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return False
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Between an odd quote and the next lies a string's content.
    brackets = b"".join(body.translate(None, REST).split(b'"')[::2])
    return max(accumulate(array("b", brackets.translate(STEPS))), default=0) > MAX_DEPTH
