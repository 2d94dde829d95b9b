"""Page tokens: they lead back to their position, and to nothing else."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kit.errors import ServiceError
from services.kit.paging import decode_token, encode_token, instant_text, page_size, read_instant

positions = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1, max_size=4)
parameters = st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=4)


@given(position=positions, bound_to=parameters)
def test_a_token_leads_back_to_its_position(position: list[str], bound_to: list[str]) -> None:
    assert decode_token(encode_token(position, *bound_to), len(position), *bound_to) == position


@given(position=positions, bound_to=parameters, other=parameters)
def test_a_token_of_other_parameters_is_refused(position: list[str], bound_to: list[str], other: list[str]) -> None:
    token = encode_token(position, *bound_to)
    if "\0".join(bound_to) != "\0".join(other):
        assert refused(token, len(position), *other)
    assert refused(token, len(position) + 1, *bound_to)


@given(text=st.text(), length=st.integers(1, 3))
def test_a_text_that_is_no_token_is_refused(text: str, length: int) -> None:
    assert refused(text, length)
    assert refused(base64.urlsafe_b64encode(text.encode(errors="replace")).decode(), length)


def refused(token: str, length: int, *bound_to: str) -> bool:
    with pytest.raises(ServiceError) as error:
        decode_token(token, length, *bound_to)
    return error.value.reason.name == "INVALID_PAGE_TOKEN"


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_comes_back_to_the_microsecond(moment: datetime) -> None:
    assert read_instant(instant_text(moment)) == moment


@pytest.mark.parametrize("text", ["", "1.5", "now", "9" * 30, "-" + "9" * 18])
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ServiceError) as error:
        read_instant(text)
    assert error.value.reason.name == "INVALID_PAGE_TOKEN"


@given(wanted=st.integers(-(2**31), 2**31 - 1))
def test_the_size_of_a_page(wanted: int) -> None:
    if wanted < 0:
        with pytest.raises(ServiceError):
            page_size(wanted)
    else:
        assert page_size(wanted) == (50 if wanted == 0 else min(wanted, 1000))
