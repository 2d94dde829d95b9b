"""Results, ranges and flags as reports print them."""

from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.labs.values import (
    NoResult,
    Range,
    Result,
    read_flag,
    read_range,
    read_result,
    reciprocal,
    uses_decimal_comma,
)


@pytest.mark.parametrize(
    ("text", "number", "comparator", "flag", "unit"),
    [
        ("5.5", "5.5", "", "", ""),
        (" 5.5 ", "5.5", "", "", ""),
        ("5.5 (H)", "5.5", "", "H", ""),
        ("5.5 H", "5.5", "", "H", ""),
        ("5.5H", "5.5", "", "H", ""),
        ("H 5.5", "5.5", "", "H", ""),
        ("(L) 3.2", "3.2", "", "L", ""),
        ("5.5 High", "5.5", "", "H", ""),
        ("5.5 critical low", "5.5", "", "LL", ""),
        ("5.5 HH", "5.5", "", "HH", ""),
        ("3.1 L", "3.1", "", "L", ""),
        ("*5.5", "5.5", "", "ABNORMAL", ""),
        ("5.5*", "5.5", "", "ABNORMAL", ""),
        ("5.5 A", "5.5", "", "ABNORMAL", ""),
        ("5.5 mg/dL H", "5.5", "", "H", "mg/dL"),
        ("5.5 H mg/dL", "5.5", "", "H", "mg/dL"),
        ("5.5 mg/dL (H)", "5.5", "", "H", "mg/dL"),
        ("5 h", "5", "", "", "h"),
        ("5/hpf", "5", "", "", "/hpf"),
        ("6.2 x10E3/uL", "6.2", "", "", "x10E3/uL"),
        ("6.2 10*9/L", "6.2", "", "", "10*9/L"),
        ("42 mmol/mol", "42", "", "", "mmol/mol"),
        ("5.5%", "5.5", "", "", "%"),
        ("<0.1", "0.1", "<", "", ""),
        ("< 0.1 mIU/L", "0.1", "<", "", "mIU/L"),
        ("<0.1 L", "0.1", "<", "L", ""),
        ("> OR = 60", "60", ">=", "", ""),
        ("> or = 60", "60", ">=", "", ""),
        (">=60", "60", ">=", "", ""),
        ("≥60", "60", ">=", "", ""),
        ("≤ 5", "5", "<=", "", ""),
        ("less than 0.1", "0.1", "<", "", ""),
        ("> 1,000", "1000", ">", "", ""),
        ("1,25", "1.25", "", "", ""),
        ("1,250", "1250", "", "", ""),
        ("0,250", "0.250", "", "", ""),
        ("1,250.5", "1250.5", "", "", ""),
        ("1.250,5", "1250.5", "", "", ""),
        ("1,234,567", "1234567", "", "", ""),
        ("1.234.567", "1234567", "", "", ""),
        ("1,50,000", "150000", "", "", ""),
        ("1 250,5", "1250.5", "", "", ""),
        ("1'250.5", "1250.5", "", "", ""),
        ("1\N{NARROW NO-BREAK SPACE}250", "1250", "", "", ""),
        (".5", "0.5", "", "", ""),
        ("-2.5", "-2.5", "", "", ""),
        ("−2.5", "-2.5", "", "", ""),
        ("1.2E5", "120000", "", "", ""),
    ],
)
def test_a_number(text: str, number: str, comparator: str, flag: str, unit: str) -> None:
    assert read_result(text) == Result(Decimal(number), comparator, "", flag, unit)


@pytest.mark.parametrize(
    "text",
    [
        *("Negative", "Non-Reactive", "None seen", "1+", "0-2", "0-2 /HPF", "1:80", "120/80", "12,34.5", "1,2,3", "A"),
        *("Pattern A", "04/13/2022", "<5.0 04/13/2022", "5.5 100 mg/dL", "145 High 98 05/01/2023", "1e99", "9" * 30),
        *("POSITIVE 1:80", "Trace", "5.5 something", "1.2.3", "² 5", "x" * 500, "5 < 6"),
    ],
)
def test_what_is_no_single_number_stays_text(text: str) -> None:
    result = read_result(text)
    assert result.number is None
    assert result.text


@pytest.mark.parametrize(
    ("text", "left", "flag"), [("Positive *", "Positive", "ABNORMAL"), ("Trace (H)", "Trace", "H")]
)
def test_a_mark_beside_words_is_a_flag(text: str, left: str, flag: str) -> None:
    assert read_result(text) == Result(None, text=left, flag=flag)


@pytest.mark.parametrize(
    "text", ["", "  ", "-", "--", "TNP", "QNS", "Pending", "NaN", "-Inf", "n/a", "See Note:", "canceled"]
)
def test_no_result(text: str) -> None:
    with pytest.raises(NoResult):
        read_result(text)


@pytest.mark.parametrize(("text", "number"), [("1,250", "1.250"), ("1.250", "1250"), ("1,25", "1.25"), ("5.5", "5.5")])
def test_a_report_with_decimal_commas(text: str, number: str) -> None:
    assert read_result(text, decimal_comma=True).number == Decimal(number)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["5,5", "1,250"], True),
        (["1,250", "140"], False),
        (["5,5", "1.25"], False),
        (["0,250"], True),
        (["1.250,5"], True),
        (["1,250.5"], False),
        (["3,5-5,1 mmol/l"], True),
        ([], False),
    ],
)
def test_whether_a_report_writes_decimal_commas(texts: list[str], expected: bool) -> None:
    assert uses_decimal_comma(texts) is expected


@given(st.decimals(min_value="0.01", max_value=999999, places=2), st.sampled_from([",", ".", "grouped"]))
def test_a_number_is_read_however_it_is_written(number: Decimal, style: str) -> None:
    text = f"{number:,}" if style == "grouped" else str(number).replace(".", style)
    assert read_result(text).number == number


@given(st.text(max_size=80))
def test_any_text_is_a_result_or_none(text: str) -> None:
    try:
        result = read_result(text)
    except NoResult:
        return
    assert (result.number is None) == bool(result.text)
    assert result.number is None or result.number.is_finite()


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("3.4-10.8", "[3.4", "10.8]"),
        ("3.4 – 10.8", "[3.4", "10.8]"),
        ("3,5 - 5,1", "[3.5", "5.1]"),
        ("13.0 to 17.7", "[13.0", "17.7]"),
        ("(3.4-10.8)", "[3.4", "10.8]"),
        ("Normal range: 7 - 25 mg/dL", "[7", "25]"),
        ("Reference Range: <200 mg/dL", "", "200)"),
        ("<100 mg/dL OPTIMAL", "", "100)"),
        ("<5.0", "", "5.0)"),
        ("< OR = 5.0", "", "5.0]"),
        ("Up to 40", "", "40]"),
        ("> OR = 60", "[60", ""),
        (">60 mL/min/1.73m2", "(60", ""),
        ("0-5 %", "[0", "5]"),
        ("-2.0-3.0", "[-2.0", "3.0]"),
        ("-2 - -1", "[-2", "-1]"),
        ("1,000-4,800", "[1000", "4800]"),
        ("0,250-1,250", "[0.250", "1.250]"),
        ("3.4-10.8 x10E3/uL", "[3.4", "10.8]"),
        (">= 3.4 - <= 10.8", "[3.4", "10.8]"),
        (">3.4 and <5.6", "(3.4", "5.6)"),
        ("40-999 mg dl", "[40", "999]"),
    ],
)
def test_a_range(text: str, low: str, high: str) -> None:
    found = read_range(text)
    assert found.text == text
    assert (found.low, found.low_open) == (Decimal(low[1:]) if low else None, low.startswith("("))
    assert (found.high, found.high_open) == (Decimal(high[:-1]) if high else None, high.endswith(")"))


def test_the_unit_of_a_range() -> None:
    assert read_range("70-99 mg/dL").unit == "mg/dL"
    assert read_range("3,5 – 5,1 mmol/l").unit == "mmol/l"
    assert read_range("1.000 - 4.800", decimal_comma=True).high == 4800


@pytest.mark.parametrize(
    "text",
    [
        *(
            "Not Estab.",
            "",
            "See Note:",
            "Male: 13-17 Female: 12-15",
            "13-17 Male",
            "0-5 years",
            "10-5",
            "5",
            "-5.0",
            "1-2-3",
        ),
        *("< OR = 1:40", "Negative <1:20", "2023-05-19", "0.0-0.4 H", "<5-10", "9" * 300, "--", "<1.2.3"),
    ],
)
def test_a_range_that_does_not_say_its_bounds_has_none(text: str) -> None:
    assert read_range(text) == Range(text)
    assert read_range(text).contains(Decimal(5)) is None


def test_the_qualitative_result_that_is_normal() -> None:
    assert read_range("NON-REACTIVE") == Range("NON-REACTIVE", expected="NON-REACTIVE")


@pytest.mark.parametrize(
    ("bounds", "result", "expected"),
    [
        ("3.4-10.8", "3.4", True),
        ("3.4-10.8", "10.8", True),
        ("3.4-10.8", "10.9", False),
        ("3.4-10.8", "3.3", False),
        ("<5.0", "5.0", False),
        ("<5.0", "4.9", True),
        ("<=5.0", "5.0", True),
        (">60", "60", False),
        (">=60", "60", True),
        # Of a result that is only bounded, all that it could be counts.
        ("0-5", "<0.1", True),
        ("0-5", "<5", True),
        ("0-5", "<6", None),
        ("3.4-10.8", "<3.4", False),
        ("3.4-10.8", "<=3.4", None),
        ("3.4-10.8", "<5", None),
        ("<5.0", "<5.0", True),
        ("<5.0", "<=5.0", None),
        (">=60", ">60", True),
        (">60", ">=60", None),
        (">=60", ">90", True),
        ("3.4-10.8", ">10.8", False),
        ("3.4-10.8", ">=10.8", None),
        ("<5.0", ">=5.0", False),
        ("<5.0", ">4", None),
    ],
)
def test_whether_a_result_is_in_range(bounds: str, result: str, expected: bool | None) -> None:
    read = read_result(result)
    assert read.number is not None
    assert read_range(bounds).contains(read.number, read.comparator) is expected


BOUND = st.integers(-5, 5).map(Decimal)


@given(BOUND, BOUND, st.booleans(), st.booleans(), BOUND, st.sampled_from(["<", "<=", ">", ">="]))
def test_a_bounded_result_is_in_range_if_everything_it_could_be_is(
    low: Decimal, high: Decimal, low_open: bool, high_open: bool, number: Decimal, comparator: str
) -> None:
    assume(low != high)
    limits = Range("", min(low, high), max(low, high), low_open, high_open)
    verdict = limits.contains(number, comparator)
    # Half steps and both infinities stand for everything; below 0 there is nothing if the range begins there.
    could_be = [Decimal(half) / 2 for half in range(-40, 41)]
    could_be = [
        x for x in could_be if {"<": x < number, "<=": x <= number, ">": x > number, ">=": x >= number}[comparator]
    ]
    if limits.low == 0 and not low_open and "<" in comparator:
        could_be = [x for x in could_be if x >= 0] or could_be
    answers = {limits.contains(x) for x in could_be}
    assert verdict is (answers.pop() if len(answers) == 1 else None)


@given(st.text(max_size=80))
def test_any_text_is_a_range(text: str) -> None:
    found = read_range(text)
    assert found.low is None or found.high is None or found.low <= found.high


@pytest.mark.parametrize(
    ("text", "flag"),
    [
        *(
            ("H", "H"),
            ("high", "H"),
            ("(L)", "L"),
            ("LL", "LL"),
            ("Abnormal", "ABNORMAL"),
            ("*", "ABNORMAL"),
            ("+", "H"),
        ),
        *(("", ""), ("N", ""), ("Normal", ""), ("what", ""), ("h*", "HH"), ("Critical High", "HH"), ("↓", "L")),
    ],
)
def test_a_flag(text: str, flag: str) -> None:
    assert read_flag(text) == flag


@pytest.mark.parametrize(
    ("titer", "number"),
    [
        ("1:160", "160"),
        ("<1:80", "<80"),
        ("1:40-1:160", "40-160"),
        ("> OR = 1 : 1,280", "> OR = 1,280"),
        ("11:30", "11:30"),
        ("2:1:40", "2:1:40"),
        ("1:", "1:"),
        ("Negative", "Negative"),
    ],
)
def test_a_dilution_becomes_its_reciprocal(titer: str, number: str) -> None:
    assert reciprocal(titer) == number


# Behind a digit they are powers, footnotes and fractions. NFKC makes digits of them.
RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉①⑨⑴⒈⒛⓪⓵½¼¾⅓⅞"


@pytest.mark.parametrize("mark", RAISED)
def test_what_is_raised_is_no_digit_of_the_number(mark: str) -> None:
    assert read_result(f"5.4{mark}").number is None
    assert read_result(f"5.4{mark} mg/dL").number is None
    found = read_range(f"3.4-10{mark}")
    assert (found.low, found.high, found.text) == (None, None, f"3.4-10{mark}")


@pytest.mark.parametrize(("text", "number"), [("５.４", "5.4"), ("𝟓.𝟒", "5.4"), ("٥", "5"), ("6.2 10⁹/L", "6.2")])
def test_other_digits_are_digits(text: str, number: str) -> None:
    assert read_result(text).number == Decimal(number)


@given(st.text(alphabet="0123456789.,eE+-<>= '" + RAISED + "٥５\u200b\u202e", max_size=30), st.booleans())
def test_a_number_has_no_more_digits_than_are_printed(text: str, comma: bool) -> None:
    try:
        number = read_result(text, decimal_comma=comma).number
    except NoResult:
        return
    assert number is None or len(number.as_tuple().digits) <= sum(map(str.isdecimal, text))
