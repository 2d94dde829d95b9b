"""Finds the route of a URL in a dictionary trie over its path segments.

The cost of a match depends on the path alone, not on how many routes there
are. At each segment a literal is tried before `*`, and `*` before `**`; a verb
(`:lock`) before a last segment that happens to contain a colon.
"""

import re
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import unquote

from gateway.template import Template, Variable, Wild

Target = TypeVar("Target")
# Slashes stay encoded in a variable of several segments, so that a client can
# tell them from the ones between segments.
ENCODED_SLASH = re.compile("(%2[Ff])")


class AmbiguousRouteError(Exception):
    """Two routes answer to the same method and path."""


@dataclass(slots=True)
class _Node(Generic[Target]):
    literals: "dict[str, _Node[Target]]" = field(default_factory=dict)
    one: "_Node[Target] | None" = None
    # What ends here, and what ends in `**` here: by verb, then by HTTP method.
    ends: dict[str, dict[str, Target]] = field(default_factory=dict)
    rests: dict[str, dict[str, Target]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Match(Generic[Target]):
    """A route, and the path's segments without the verb, as sent and decoded."""

    target: Target
    raw: list[str]
    decoded: list[str]

    def value(self, variable: Variable) -> str:
        """What the path binds to a variable.

        One segment is decoded whole; several are decoded but for `%2F`.
        """
        if variable.single:
            return self.decoded[variable.start]
        joined = "/".join(self.raw[variable.start : variable.end])
        if "%" not in joined:
            return joined
        parts = ENCODED_SLASH.split(joined)
        return "".join(part if index % 2 else unquote(part, errors="strict") for index, part in enumerate(parts))


class Router(Generic[Target]):
    """A set of routes; adding two that nothing tells apart is an error."""

    def __init__(self) -> None:
        self._root: _Node[Target] = _Node()
        self._verbs: set[str] = set()
        self._methods: set[str] = set()

    def add(self, method: str, template: Template, target: Target) -> None:
        """Adds a route. Raises AmbiguousRouteError, naming both targets."""
        node = self._root
        for segment in template.segments:
            if segment is Wild.REST:
                break
            if segment is Wild.ONE:
                node.one = node.one or _Node()
                node = node.one
            else:
                node = node.literals.setdefault(str(segment), _Node())
        leaves = node.rests if template.segments[-1] is Wild.REST else node.ends
        targets = leaves.setdefault(template.verb, {})
        if method in targets:
            raise AmbiguousRouteError(f"{method} {template.text} of {target} is also the route of {targets[method]}")
        targets[method] = target
        self._methods.add(method)
        if template.verb:
            self._verbs.add(template.verb)

    def match(self, method: str, path: str) -> Match[Target] | None:
        """The route of a percent-encoded path; None if there is none.

        Raises UnicodeDecodeError for a path that is not UTF-8 once decoded.
        """
        if not path.startswith("/"):
            return None
        raw = path.split("/")[1:]
        encoded = "%" in path
        stem, colon, verb = raw[-1].rpartition(":")
        if colon and verb in self._verbs:
            without = [*raw[:-1], stem]
            if found := self._match(method, without, verb, encoded):
                return found
        return self._match(method, raw, "", encoded)

    def allowed(self, path: str) -> list[str]:
        """The methods that a path has routes for, in alphabetical order."""
        return sorted(method for method in self._methods if self.match(method, path))

    def _match(self, method: str, raw: list[str], verb: str, encoded: bool) -> Match[Target] | None:
        decoded = [unquote(segment, errors="strict") for segment in raw] if encoded else raw
        target = self._find(self._root, decoded, 0, verb, method)
        return None if target is None else Match(target, raw, decoded)

    def _find(self, node: _Node[Target], segments: list[str], at: int, verb: str, method: str) -> Target | None:
        if at == len(segments):
            targets = node.ends.get(verb)
            if targets and method in targets:
                return targets[method]
        else:
            segment = segments[at]
            if (child := node.literals.get(segment)) and (found := self._find(child, segments, at + 1, verb, method)):
                return found
            # An empty segment is no value: `/users//days` is not somebody's days.
            if node.one and segment and (found := self._find(node.one, segments, at + 1, verb, method)):
                return found
        rests = node.rests.get(verb)
        return rests.get(method) if rests else None
