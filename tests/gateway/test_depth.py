"""The depth of JSON, told without parsing it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.depth import MAX_DEPTH, is_too_deep

texts = st.text(st.sampled_from('[]{}"\\ax\n')) | st.text()
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=100,
)


@given(values, st.booleans())
def test_ordinary_json_is_never_too_deep(value: Any, ascii_only: bool) -> None:
    assert not is_too_deep(json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"))


@given(values, st.booleans())
def test_depth_is_counted_exactly(value: Any, ascii_only: bool) -> None:
    text = json.dumps(["]}", value, "[{"], ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    beside = b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1)
    assert not is_too_deep(b"[" + beside + b"," + b'"["' + b"]" + b'"[[{{\\""' * 30)
    assert is_too_deep(b"[" * MAX_DEPTH + text + b"]" * MAX_DEPTH)


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 100_000, b'{"a":[' * 100_000])
def test_brackets_that_would_overflow_the_parser(text: bytes) -> None:
    assert is_too_deep(text)
