"""What exports are broken by in practice, and what chance can break them by."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tracking.apple_health import RefusedFile, elements
from tests.tracking.apple_health.exports import HEART_RATE, STEPS, export, read, record, slept

FIRST = record(STEPS, "1", "count", "2026-03-02 10:00:00 -0700")
LAST = record(STEPS, "2", "count", "2026-03-02 11:00:00 -0700")
DAY = "2026-03-02"
BROKEN_DTD = """<!DOCTYPE HealthData [
<!-- HealthKit Export Version: 12 -->
<!ELEMENT HealthData (ExportDate,Me,(Record)*)>
<!ATTLIST VisionPrescription
  type CDATA #REQUIRED
<!ELEMENT RightEye EMPTY>
<!ATTLIST RightEye sphere CDATA #IMPLIED>
]>
"""


@pytest.fixture(params=[7, 64, 2**17], ids=lambda size: f"chunks-of-{size}", autouse=True)
def chunk_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found may not depend on where the reads end."""
    monkeypatch.setattr(elements, "CHUNK_BYTES", request.param)


def test_the_broken_dtd_of_ios_16() -> None:
    content = export(FIRST, doctype=BROKEN_DTD)
    found = read(content)
    assert found.days[DAY]["steps"] == 1
    assert found.account.warnings == ["the file's document type definition is broken; it was not needed"]


@pytest.mark.parametrize(
    "doctype",
    [
        "<!DOCTYPE HealthData>\n",
        '<!DOCTYPE HealthData SYSTEM "http://example.org/x.dtd">\n',
        "<!DOCTYPE HealthData [\n<!ELEMENT HealthData (Record*)>\n<!ATTLIST HealthData locale CDATA #REQUIRED>\n]>\n",
        "<!DOCTYPE HealthData [<!-- ' ]> \" -->]>\n<!-- after -->\n<?target data?>\n",
        "",
    ],
)
def test_any_document_type_is_passed_over(doctype: str) -> None:
    found = read(export(FIRST, doctype=doctype))
    assert found.days[DAY]["steps"] == 1
    assert not found.account.warnings


def test_entities_are_never_declared_or_resolved() -> None:
    lol = "".join(f'<!ENTITY lol{n + 1} "{f"&lol{n};" * 10}">' for n in range(12))
    doctype = f'<!DOCTYPE HealthData [<!ENTITY lol0 "lol">{lol}<!ENTITY file SYSTEM "file:///etc/passwd">]>\n'
    bad = [FIRST.replace('value="1"', f'value="{entity}"') for entity in ("&lol12;", "&file;", "&lol0;")]
    content = export(FIRST, *bad, LAST, doctype=doctype)
    found = read(content)
    assert found.days[DAY]["steps"] == 3
    assert found.account.rejected_by_reason == {"malformed_xml": 3}
    assert all(content[r.byte_offset :].startswith(b"<Record") for r in found.account.rejections)
    assert "passwd" not in str(found)


def test_entities_of_xml_itself_are() -> None:
    found = read(export(record(HEART_RATE, "60", "count/min", "2026-03-02 10:00:00 -0700", source="A & <B> “C”")))
    assert found.days[DAY]["raw_data"]["records"]["max_hr_bpm"] == {"A & <B> “C”": 1}


def test_control_characters_are_read_as_spaces_and_move_nothing() -> None:
    dirty = record(STEPS, "4", "count", "2026-03-02 10:30:00 -0700", source="A\x0bB\x00\x1f")
    content = export(FIRST, dirty, LAST.replace("count", "furlong"))
    found = read(content)
    assert found.days[DAY]["steps"] == 5
    assert "A B  " in found.days[DAY]["raw_data"]["records"]["steps"]
    assert found.account.rejections[0].byte_offset == content.rindex(b"<Record")
    assert found.account.warnings == ["control characters that XML does not allow were read as spaces"]


@pytest.mark.parametrize("garbage", [b"\xff", b"\xc3", b"\xe2\x80", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\xef\xbf\xbe"])
def test_bytes_that_are_no_utf_8_cost_nobody_a_record(garbage: bytes) -> None:
    content = export(FIRST, record(STEPS, "4", "count", "2026-03-02 10:30:00 -0700", source="GARBAGE"), LAST)
    content = content.replace(b"GARBAGE", b"J" + garbage + "örg 😀".encode()).replace(b'"2" />', b'"2"/>')
    found = read(content + b"\n")
    assert found.days[DAY]["steps"] == 7
    (name,) = [name for name in found.days[DAY]["raw_data"]["records"]["steps"] if name.startswith("J")]
    assert name.endswith("örg 😀")


MALFORMED = {
    "a quote is missing": '<Record type="HKQuantityTypeIdentifierStepCount" value="1 sourceName="x"/>\n',
    "the last quote is missing": '<Record type="HKQuantityTypeIdentifierStepCount" value="1/>\n',
    "an attribute twice": '<Record type="HKQuantityTypeIdentifierStepCount" value="1" value="2"/>\n',
    "the end is missing": '<Record type="HKQuantityTypeIdentifierStepCount" value="1">\n',
    "it breaks off": '<Record type="HKQuantityTypeIdentifierStepCount" val\n',
    "another end": '<Record type="HKQuantityTypeIdentifierStepCount" value="1"></Rec>\n',
    "a broken child": '<Record type="HKQuantityTypeIdentifierStepCount" value="1"><MetadataEntry key=></Record>\n',
    "an ampersand": '<Record type="HKQuantityTypeIdentifierStepCount" sourceName="A & B" value="1"/>\n',
    "a character of no kind": '<Record type="HKQuantityTypeIdentifierStepCount" sourceName="&#11;" value="1"/>\n',
}


@pytest.mark.parametrize("element", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("place", ["middle", "first", "last"])
def test_a_malformed_record_costs_only_itself(element: str, place: str) -> None:
    order = {"middle": (FIRST, element, LAST), "first": (element, FIRST, LAST), "last": (FIRST, LAST, element)}
    content = export(*order[place])
    found = read(content)
    assert found.days[DAY]["steps"] == 3
    assert found.account.records_used == 2
    (rejection,) = found.account.rejections
    assert rejection.reason == "malformed_xml"
    assert rejection.record_type == STEPS
    assert rejection.byte_offset == content.index(element.strip().encode())


@pytest.mark.parametrize(
    "element",
    [
        '<Workout workoutActivityType="HKWorkoutActivityTypeRunning" duration="1"><WorkoutEvent type=/></Workout>\n',
        '<Workout workoutActivityType="HKWorkoutActivityTypeRunning" duration="1"><WorkoutEvent type="x"/>\n',
        '<Correlation type="HKCorrelationTypeIdentifierFood"><Bad </Correlation>\n',
        "<Record <<<>>> & \n",
        "</Record>\n",
    ],
)
def test_other_malformed_elements(element: str) -> None:
    found = read(export(FIRST, element, LAST))
    assert found.days[DAY]["steps"] == 3
    assert found.account.rejected_by_reason == {"malformed_xml": 1}


def test_a_correlation_that_is_not_closed_does_not_swallow_the_rest() -> None:
    many = [record(STEPS, "1", "count", f"2026-03-02 {n // 60:02}:{n % 60:02}:00 -0700") for n in range(600)]
    found = read(export('<Correlation type="HKCorrelationTypeIdentifierFood">\n', *many))
    assert found.days[DAY]["steps"] >= 350
    assert found.account.rejected_by_reason == {"malformed_xml": 1}


def test_a_comment_that_is_not_closed_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elements, "MAX_TOKEN_BYTES", 3000)
    many = [record(STEPS, "1", "count", f"2026-03-02 10:{n:02}:00 -0700") for n in range(60)]
    found = read(export(*many[:10], "<!-- never closed\n", *many[10:]))
    assert found.account.rejected_by_reason == {"malformed_xml": 1}
    assert found.days[DAY]["steps"] > 10


def test_what_follows_the_end_is_told() -> None:
    found = read(export(FIRST) + b"<Record/>garbage")
    assert found.days[DAY]["steps"] == 1
    assert found.account.warnings == ["there is something after the end of HealthData; it was not read"]


def test_only_the_first_hundred_rejections_are_listed() -> None:
    found = read(export(*[FIRST.replace("count", "furlong")] * 150))
    assert found.account.records_rejected == 150
    assert len(found.account.rejections) == 100


def test_types_that_a_file_makes_up_are_bounded() -> None:
    found = read(export(*(f'<Record type="Made\x07Up{n}{"x" * 500}"/>' for n in range(700))))
    assert found.account.records_ignored == 700
    assert len(found.account.ignored_by_type) <= 501
    assert all(len(name) <= 100 and name.isprintable() for name in found.account.ignored_by_type)


SOUND = export(
    *(record(STEPS, str(n), "count", f"2026-03-02 10:{n:02}:00 -0700") for n in range(12)),
    slept("AsleepCore", "2026-03-01 23:00:00 -0700", "2026-03-02 06:00:00 -0700", zone="Europe/Berlin"),
    '<Workout workoutActivityType="HKWorkoutActivityTypeYoga" duration="5" durationUnit="min" '
    'startDate="2026-03-02 10:00:00 -0700" endDate="2026-03-02 10:05:00 -0700"><WorkoutEvent type="x"/></Workout>\n',
    '<Correlation type="HKCorrelationTypeIdentifierFood"><Record type="x"/></Correlation>\n',
    '<ActivitySummary dateComponents="2026-03-02" activeEnergyBurned="9" activeEnergyBurnedUnit="Cal"/>\n',
    doctype=BROKEN_DTD,
)
CHANGES = st.lists(
    st.tuples(
        st.integers(0, len(SOUND)),
        st.integers(0, 60),
        st.one_of(
            st.binary(max_size=12), st.sampled_from([b"<", b">", b'"', b"<Record ", b"</HealthData>", b"&x;", b"<!--"])
        ),
    ),
    min_size=1,
    max_size=6,
)


@given(CHANGES)
def test_no_damage_does_more_than_be_reported(changes: list[tuple[int, int, bytes]]) -> None:
    content = SOUND
    for at, length, replacement in changes:
        content = content[:at] + replacement + content[at + length :]
    try:
        found: Any = read(content)
    except RefusedFile:
        return
    assert found.account.records_read <= 60
    assert all(0 <= rejection.byte_offset <= len(content) for rejection in found.account.rejections)


@given(st.integers(0, 11), st.integers(0, 60), st.binary(min_size=1, max_size=5))
def test_damage_to_one_record_leaves_the_others(number: int, at: int, garbage: bytes) -> None:
    if b"<" in garbage or b">" in garbage:
        return
    lines = SOUND.split(b"\n")
    index = next(i for i, line in enumerate(lines) if b"Record" in line and b"StepCount" in line) + number
    # Before the record's closing tag, so that it is this record that is damaged.
    lines[index] = lines[index][: 8 + at] + garbage + lines[index][8 + at :]
    found = read(b"\n".join(lines))
    assert found.account.records_read == read(SOUND).account.records_read
    assert found.account.records_rejected <= 1
