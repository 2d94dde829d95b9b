"""A report's name of a marker to the marker, or to none where that is not sure.

A wrong marker is worse than none: what a name says beyond a marker's name
("free", "direct", "reverse") is never passed over, and nothing is found
because it is nearly alike, but for slips of the pen.
"""

from services.labs.matching.index import Candidate, MarkerIndex, Match, Row, alias_key

__all__ = ["Candidate", "MarkerIndex", "Match", "Row", "alias_key"]
