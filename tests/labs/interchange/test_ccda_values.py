"""What a C-CDA document says of values, ranges and comments, in place and in its narrative."""

import pytest

from services.labs.interchange import ccda
from services.labs.reports import PRELIMINARY, Report, Result

HEAD = (
    '<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
    '<component><structuredBody><component><section><templateId root="2.16.840.1.113883.10.20.22.2.3"/>'
)
TAIL = "</section></component></structuredBody></component></ClinicalDocument>"
COMMENT = (
    '<act classCode="ACT"><templateId root="2.16.840.1.113883.10.20.22.4.64"/><code code="48767-8"/>'
    "<text>{}</text></act>"
)


def read(*observations: str, narrative: str = "", about_all: str = "") -> Report:
    components = "".join(f"<component><observation>{one}</observation></component>" for one in observations)
    organizer = f"<entry><organizer>{components}{about_all}</organizer></entry>"
    (report,) = ccda.read(f"{HEAD}<text>{narrative}</text>{organizer}{TAIL}".encode())
    return report


def result(value: str, more: str = "", name: str = '<code displayName="x"/>', narrative: str = "") -> Result:
    (found,) = read(f"{name}{value}{more}", narrative=narrative).results
    return found


@pytest.mark.parametrize(
    ("value", "printed", "unit"),
    [
        ('<value xsi:type="PQ" value="5.4" unit="mmol/L"/>', "5.4", "mmol/L"),
        ('<value xsi:type="IVL_PQ"><low value="60" unit="mL/min"/></value>', ">=60", "mL/min"),
        ('<value xsi:type="IVL_PQ"><low value="1" unit="g"/><high value="2" unit="g"/></value>', "1-2", "g"),
        (
            '<value xsi:type="RTO"><numerator value="1"/><denominator value="128"/></value>',
            "1:128",
            "",
        ),
        ('<value xsi:type="BL" value="true"/>', "positive", ""),
        ('<value xsi:type="INT" value="7"/>', "7", ""),
        ('<value xsi:type="ST">trace</value>', "trace", ""),
        ('<value xsi:type="CD" nullFlavor="OTH"><translation displayName="Reactive"/></value>', "Reactive", ""),
        ('<value xsi:type="ED"><reference value="#v"/></value>', "seen rarely", ""),
    ],
)
def test_values(value: str, printed: str, unit: str) -> None:
    found = result(value, narrative='<content ID="v">seen <b>rarely</b></content>')
    assert (found.value, found.unit) == (printed, unit)


def test_a_name_that_stands_in_the_narrative() -> None:
    name = '<code nullFlavor="UNK"><originalText><reference value="#n"/></originalText></code>'
    found = result('<value xsi:type="ST">1</value>', name=name, narrative='<table><td ID="n">Ferritin</td></table>')
    assert found.name == "Ferritin"


def limits(low: int, high: int, more: str = "", unit: str = "g") -> str:
    ends = f'<low value="{low}" unit="{unit}"/><high value="{high}" unit="{unit}"/>'
    value = f'<value xsi:type="IVL_PQ">{ends}</value>'
    return f"<referenceRange><observationRange>{value}{more}</observationRange></referenceRange>"


@pytest.mark.parametrize(
    ("ranges", "printed"),
    [
        (limits(1, 2), "1-2"),
        (limits(1, 2, unit="mg"), "1-2 mg"),
        (limits(1, 2) + limits(1, 2), "1-2"),
        (limits(3, 4, '<interpretationCode code="H"/>') + limits(1, 2, '<interpretationCode code="N"/>'), "1-2"),
        (limits(1, 2) + limits(3, 4), "1-2; 3-4"),
        ("<referenceRange><observationRange><text>none known</text></observationRange></referenceRange>", "none known"),
        ("<referenceRange/>", ""),
    ],
)
def test_ranges(ranges: str, printed: str) -> None:
    assert result('<value xsi:type="PQ" value="1.5" unit="g"/>', ranges).reference_range == printed


def test_comments() -> None:
    value = '<code displayName="x"/><value xsi:type="ST">1</value>'
    of_it = f"<entryRelationship>{COMMENT.format('haemolysed')}</entryRelationship>"
    referring = COMMENT.format('<reference value="#c"/>')
    other = "<entryRelationship><act><text>an order</text></act></entryRelationship>"
    report = read(
        value + of_it + f"<entryRelationship>{referring}</entryRelationship>" + other,
        value,
        narrative='<content ID="c">repeated</content>',
        about_all=f"<component>{COMMENT.format('all checked')}</component>",
    )
    assert [one.note for one in report.results] == ["haemolysed\nrepeated", ""]
    assert report.note == "all checked"


def test_statuses() -> None:
    value = '<code displayName="x"/><statusCode code="{}"/><value xsi:type="ST">1</value>'
    active, nullified = read(value.format("active"), value.format("nullified")).results
    assert (active.status, active.withdrawn) == (PRELIMINARY, "")
    assert nullified.withdrawn == "the result was entered in error"


def test_a_long_narrative_is_not_written_out_for_each_reference() -> None:
    value = '<code displayName="x"/><value xsi:type="ED"><reference value="#all"/></value>'
    report = read(*[value] * 200, narrative=f'<content ID="all">{"y" * 200_000}</content>')
    assert sum(len(one.value) for one in report.results) < 200_000 * 10
