"""docs/security.md: every requirement stands there once, and every test that it names is one."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
ROW = re.compile(r"^\| (\d+\.\d+\.\d+) \| ([12]) \| (.+?) \| (.+) \|$", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
DECISION = re.compile(r"\]\((decisions/[\w.-]+|\.\./[\w./-]+)\)")
# OWASP ASVS 5.0.0: how many requirements of levels 1 and 2 each section begins with (level 3 follows).
SECTIONS = {
    "6.1": 3,
    "6.2": 12,
    "6.3": 4,
    "6.4": 4,
    "6.5": 5,
    "6.6": 3,
    "6.8": 4,
    "7.1": 3,
    "7.2": 4,
    "7.3": 2,
    "7.4": 5,
    "7.5": 2,
    "7.6": 2,
    "8.1": 2,
    "8.2": 3,
    "8.3": 1,
    "8.4": 1,
    "10.1": 2,
    "10.2": 2,
    "10.3": 4,
    "10.4": 11,
    "10.5": 5,
    "10.6": 2,
    "10.7": 3,
}
ROWS = {number: answer for number, _, _, answer in ROW.findall(PAGE)}
NAMED = sorted(set(TEST.findall(PAGE)))


@cache
def defined_in(path: str) -> frozenset[str]:
    nodes = ast.walk(ast.parse((ROOT / path).read_text()))
    return frozenset(node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def test_every_requirement_stands_there_once_and_in_order() -> None:
    wanted = [f"{section}.{number}" for section, count in SECTIONS.items() for number in range(1, count + 1)]
    assert [number for number, *_ in ROW.findall(PAGE)] == wanted
    # No row escapes the pattern.
    assert len(re.findall(r"^\| \d", PAGE, re.MULTILINE)) == len(wanted)


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[name for _, name in NAMED])
def test_a_test_that_is_named_exists(path: str, name: str) -> None:
    assert name in defined_in(path)
    assert name.startswith("test_")


def test_every_requirement_is_shown_or_says_why_not() -> None:
    for number, answer in ROWS.items():
        said = TEST.search(answer) or DECISION.search(answer) or answer.startswith(("Does not apply: ", "Not met: "))
        assert said, number


def test_every_page_that_is_linked_exists() -> None:
    linked = DECISION.findall(PAGE)
    assert linked
    assert [page for page in linked if not (ROOT / "docs" / page).is_file()] == []
