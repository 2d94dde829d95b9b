"""Path templates of `google.api.http`: their grammar and what they bind.

    Template = "/" Segments [ Verb ] ;
    Segments = Segment { "/" Segment } ;
    Segment  = "*" | "**" | LITERAL | Variable ;
    Variable = "{" FieldPath [ "=" Segments ] "}" ;
    FieldPath = IDENT { "." IDENT } ;
    Verb     = ":" LITERAL ;

Source: the comment of `google/api/http.proto`.
"""

import re
from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote

FIELD_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
LITERAL = re.compile(r"[^/{}*:=?#]+")


class Wild(Enum):
    """A segment that matches more than one text."""

    ONE = "*"
    REST = "**"


Segment = str | Wild


@dataclass(frozen=True, slots=True)
class Variable:
    """A field bound to the segments from `start` up to `end` (None: to the last)."""

    field: str
    start: int
    end: int | None
    single: bool


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed path template; literals are percent-decoded."""

    text: str
    segments: tuple[Segment, ...]
    verb: str
    variables: tuple[Variable, ...]


class TemplateError(ValueError):
    """A path template breaks the grammar."""


def parse(text: str) -> Template:
    """Parses a path template. Raises TemplateError naming the template and what is wrong."""
    return _Parser(text).parse()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._segments: list[Segment] = []
        self._variables: list[Variable] = []

    def parse(self) -> Template:
        if not self._take("/"):
            raise self._error("must begin with /")
        self._parse_segments(inside=False)
        verb = ""
        if self._take(":"):
            verb = unquote(self._match(LITERAL, "a verb"))
        if self._at != len(self._text):
            raise self._error(f"has an unexpected {self._text[self._at]!r}")
        if Wild.REST in self._segments[:-1]:
            raise self._error("has ** before its last segment")
        names = [variable.field for variable in self._variables]
        if len(set(names)) != len(names):
            raise self._error("binds a field twice")
        return Template(self._text, tuple(self._segments), verb, tuple(self._variables))

    def _parse_segments(self, *, inside: bool) -> None:
        while True:
            if self._take("**"):
                self._segments.append(Wild.REST)
            elif self._take("*"):
                self._segments.append(Wild.ONE)
            elif self._take("{"):
                if inside:
                    raise self._error("has a variable inside a variable")
                self._parse_variable()
            else:
                self._segments.append(unquote(self._match(LITERAL, "a segment")))
            if not self._take("/"):
                return

    def _parse_variable(self) -> None:
        field = self._match(FIELD_PATH, "a field")
        start = len(self._segments)
        if self._take("="):
            self._parse_segments(inside=True)
        else:
            self._segments.append(Wild.ONE)
        if not self._take("}"):
            raise self._error("has an unclosed variable")
        bound = self._segments[start:]
        end = None if bound[-1] is Wild.REST else len(self._segments)
        self._variables.append(Variable(field, start, end, bound == [Wild.ONE]))

    def _take(self, token: str) -> bool:
        if self._text.startswith(token, self._at):
            self._at += len(token)
            return True
        return False

    def _match(self, pattern: re.Pattern[str], what: str) -> str:
        found = pattern.match(self._text, self._at)
        if not found:
            raise self._error(f"lacks {what} at position {self._at}")
        self._at = found.end()
        return found.group()

    def _error(self, problem: str) -> TemplateError:
        return TemplateError(f"path template {self._text!r} {problem}")
