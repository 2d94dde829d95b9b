"""What the readers of FHIR, HL7 v2, C-CDA and CSV make of files, good and bad."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.labs.interchange import ccda, csv_table, fhir, hl7
from services.labs.interchange.formats import READERS, recognise
from services.labs.reports import Report, Result, UnreadableReportError

ORU = "\r".join(
    [
        r"MSH|^~\&|LIS|North Lab|APP|CLINIC|202402201430||ORU^R01|7|P|2.5.1",
        "PID|1||1^^^X^MR||ROE^RICHARD||19700101|M",
        "OBR|1||A1|24323-8^Comprehensive panel^LN|||20240220080000+0100||||||||SER|77^House^Greta|||||||||F",
        "OBX|1|NM|2345-7^Glucose^LN||95|mg/dL|70-99|N|||F",
        "OBX|2|SN|33914-3^eGFR^LN||>^60|mL/min/{1.73_m2}|>60||||F",
        r"NTE|1|L|Formula\F\method: CKD-EPI 2021",
        "OBX|3|CWE|5778-6^Color of Urine^LN||Y^Yellow^L||||||F|||20240219",
        "OBX|4|NM|2951-2^Sodium^LN|||mmol/L|136-145||||X",
        "OBX|5|NM|2823-3^Potassium^LN|||mmol/L|3.5-5.1||||F",
        "OBX|6|ST|L77^Remark^L||first~second||||||F",
    ]
)
SECTION = """<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<custodian><assignedCustodian><representedCustodianOrganization><name>South Clinic</name>
</representedCustodianOrganization></assignedCustodian></custodian>
<component><structuredBody>
<component><section><code code="8716-3" codeSystem="2.16.840.1.113883.6.1"/>
 <entry><organizer><component><observation><code code="8480-6" displayName="Systolic"/>
 <value xsi:type="PQ" value="120" unit="mm[Hg]"/></observation></component></organizer></entry></section></component>
<component><section><templateId root="2.16.840.1.113883.10.20.22.2.3.1"/>
 <entry><organizer classCode="BATTERY"><code code="24331-1" displayName="Lipid panel"/>
 <effectiveTime value="20230301081500-0500"/>
 <component><observation><code code="18262-6" displayName="LDL" codeSystem="2.16.840.1.113883.6.1"/>
  <statusCode code="completed"/><value xsi:type="PQ" value="105" unit="mg/dL"/>
  <interpretationCode code="H"/>
  <referenceRange><observationRange><value xsi:type="IVL_PQ"><high value="100" unit="mg/dL" inclusive="false"/></value>
  </observationRange></referenceRange></observation></component>
 <component><observation><code nullFlavor="UNK"><originalText>CRP <b>sensitive</b></originalText>
  <translation code="30522-7" codeSystem="2.16.840.1.113883.6.1"/></code>
  <value xsi:type="IVL_PQ"><high value="0.3" unit="mg/L" inclusive="false"/></value></observation></component>
 <component><observation><code displayName="Ketones"/><value xsi:type="CD" displayName="Negative"/></observation>
 </component>
 <component><observation><code displayName="Iron"/><statusCode code="aborted"/></observation></component>
 <component><observation><code displayName="Zinc"/></observation></component>
 </organizer></entry></section></component></structuredBody></component></ClinicalDocument>"""


def observation(name: str, value: str | float | None, /, **more: Any) -> dict[str, Any]:
    quantity = {} if value is None else {"valueQuantity": {"value": value, "unit": "mg/dL"}}
    return {"resourceType": "Observation", "status": "final", "code": {"text": name}, **quantity, **more}


def all_results(reports: list[Report]) -> dict[str, Result]:
    return {result.name: result for report in reports for result in report.results}


def faults(reports: list[Report]) -> list[tuple[str, str]]:
    return [(fault.place, fault.reason) for report in reports for fault in report.rejected]


def test_an_oru_message() -> None:
    first, second = hl7.read(ORU.encode())
    assert (first.lab_name, first.panel_name, first.lab_provider) == ("North Lab", "Comprehensive panel", "Greta House")
    assert first.collected == datetime(2024, 2, 20, 8, tzinfo=timezone(timedelta(hours=1)))
    assert first.reported == datetime(2024, 2, 20, 14, 30)  # noqa: DTZ001
    glucose, egfr, remark = first.results
    assert glucose == Result("message 1, OBX 1", "Glucose", "95", "mg/dL", "70-99", loinc="2345-7", specimen="SER")
    assert (egfr.value, egfr.note) == (">60", "Formula|method: CKD-EPI 2021")
    assert (remark.value, remark.loinc) == ("first; second", "")
    assert (second.collected, [r.value for r in second.results]) == (date(2024, 2, 19), ["Yellow"])
    assert faults([first, second]) == [
        ("message 1, OBX 4", "the result could not be obtained"),
        ("message 1, OBX 5", "there is no value"),
    ]


def test_the_time_of_the_report_is_not_when_it_was_collected() -> None:
    message = ORU.replace("Greta|||||||||F", "Greta||||||20240220150000|||F").replace("N|||F", "N|||F|||20240220150000")
    (report, _) = hl7.read(message.encode())
    assert report.results[0].collected is None


@pytest.mark.parametrize("separator", ["\r", "\n", "\r\n"])
def test_several_messages_in_one_file(separator: str) -> None:
    batch = "\r".join([r"FHS|^~\&|A", r"BHS|^~\&|A", ORU, ORU.replace("North", "East"), "BTS|2", "FTS|1"])
    reports = list(hl7.read(batch.replace("\r", separator).encode()))
    assert [report.lab_name for report in reports] == ["North Lab", "North Lab", "East Lab", "East Lab"]
    assert all_results(reports)["Glucose"].place == "message 2, OBX 1"


@pytest.mark.parametrize(
    "data", [b"", b"PID|1", b"MSH", rb"MSH|^~\&|A|B|C|D|20240101||ADT^A01|1|P|2.5", b"\xff\xfe\x00"], ids=str
)
def test_no_oru_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableReportError):
        list(hl7.read(data))


def test_a_report_with_its_observations() -> None:
    bundle = {
        "resourceType": "Bundle",
        "entry": [
            {
                "resource": {
                    "resourceType": "DiagnosticReport",
                    "code": {"text": "Lipids"},
                    "performer": [{"display": "West Lab"}],
                    "effectiveDateTime": "2024-05-06T07:08:09+02:00",
                    "issued": "2024-05-06T17:00:00Z",
                    "contained": [observation("LDL", 2.50, id="inner")],
                    "result": [
                        {"reference": "#inner"},
                        {"reference": "Observation/hdl"},
                        {"reference": "urn:uuid:tri"},
                        {"reference": "Observation/gone"},
                    ],
                }
            },
            {"resource": observation("HDL", 55, id="hdl", specimen={"reference": "Specimen/s"}, interpretation=[LOW])},
            {"fullUrl": "urn:uuid:tri", "resource": observation("TG", 150, effectiveDateTime="2024-05-07")},
            {"resource": {"resourceType": "Specimen", "id": "s", "type": {"coding": [{"display": "Plasma"}]}}},
            {"resource": observation("Alone", 1, note=[{"text": "haemolysed"}])},
            {"resource": observation("Void", 1, status="entered-in-error")},
            {"resource": observation("Empty", None)},
            {"what": "ever"},
        ],
    }
    reports = list(fhir.read(json.dumps(bundle).encode()))
    header = reports[0]
    assert (header.lab_name, header.panel_name) == ("West Lab", "Lipids")
    assert header.collected == datetime(2024, 5, 6, 5, 8, 9, tzinfo=UTC)
    found = all_results(reports)
    assert [(name, r.value) for name, r in found.items()] == [
        ("LDL", "2.5"),
        ("HDL", "55"),
        ("TG", "150"),
        ("Alone", "1"),
        ("Void", "1"),
    ]
    assert [name for name, result in found.items() if result.withdrawn] == ["Void"]
    assert (found["HDL"].specimen, found["HDL"].flag, found["Alone"].note) == ("Plasma", "L", "haemolysed")
    assert reports[1].collected == date(2024, 5, 7)
    assert sorted(faults(reports)) == [
        ("entry 1, a result", "it points at an Observation that the file does not have"),
        ("entry 7", "there is no value"),
        ("entry 8", "it is no FHIR resource"),
    ]


LOW = {"coding": [{"code": "L"}]}


def test_digits_are_kept_as_they_were_written() -> None:
    text = '{"resourceType": "Observation", "code": {"text": "x"}, "valueQuantity": {"value": 5.40, "comparator": "<"}}'
    assert [r.value for r in all_results(list(fhir.read(text.encode()))).values()] == ["<5.40"]


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ({"valueCodeableConcept": {"coding": [{"display": "Positive"}]}}, "Positive"),
        ({"valueString": " trace "}, "trace"),
        ({"valueBoolean": False}, "negative"),
        ({"valueInteger": 3}, "3"),
        ({"valueRange": {"low": {"value": 2}, "high": {"value": 5}}}, "2-5"),
        ({"valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 160}}}, "1:160"),
    ],
)
def test_other_kinds_of_value(part: dict[str, Any], value: str) -> None:
    data = json.dumps(observation("x", None, **part)).encode()
    assert [r.value for r in all_results(list(fhir.read(data))).values()] == [value]


def test_groups_and_components() -> None:
    group = observation("CBC", None, id="g", hasMember=[{"reference": "Observation/m"}, {"reference": "Observation/g"}])
    member = observation("Hb", 14, id="m")
    pair = observation("Pair", None, component=[{"code": {"text": "A"}, "valueInteger": 1}, {"code": {"text": "B"}}])
    report = {"resourceType": "DiagnosticReport", "result": [{"reference": "Observation/g"}]}
    lines = "\n".join(json.dumps(resource) for resource in (group, member, pair, report))
    reports = list(fhir.read(lines.encode()))
    assert {name: result.place for name, result in all_results(reports).items()} == {
        "Hb": "line 2",
        "A": "line 3, component 1",
    }
    assert faults(reports) == [("line 3, component 2", "there is no value")]


def test_a_bad_line_does_not_stop_the_others() -> None:
    lines = [json.dumps(observation("A", 1)), "{broken", "", json.dumps(observation("B", 2))]
    reports = list(fhir.read("\n".join(lines).encode()))
    assert list(all_results(reports)) == ["A", "B"]
    assert faults(reports) == [("line 2", "it is no FHIR resource")]


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"resourceType": 3}', b"[" * 100_000, b'{"resourceType": "Bundle"}', b"\xff\xfe{}", b"NaN"],
    ids=lambda data: repr(data[:20]),
)
def test_no_fhir_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableReportError):
        list(fhir.read(data))


def test_a_ccda_document() -> None:
    (report,) = ccda.read(SECTION.encode())
    assert (report.lab_name, report.panel_name) == ("South Clinic", "Lipid panel")
    assert report.collected == datetime(2023, 3, 1, 13, 15, tzinfo=UTC)
    ldl, crp, ketones = report.results
    assert (ldl.value, ldl.unit, ldl.reference_range, ldl.flag, ldl.loinc) == ("105", "mg/dL", "<100", "H", "18262-6")
    assert (crp.name, crp.value, crp.unit, crp.loinc) == ("CRP sensitive", "<0.3", "mg/L", "30522-7")
    assert (ketones.value, ketones.unit) == ("Negative", "")
    assert [reason for _, reason in faults([report])] == ["the test was aborted", "there is no value"]


def test_a_unit_that_ucum_does_not_have_stands_in_the_translation() -> None:
    odd = '<value xsi:type="PQ" nullFlavor="OTH"><translation value="152"><originalText>THOUS/MCL</originalText>'
    document = SECTION.replace('<value xsi:type="PQ" value="105" unit="mg/dL"/>', f"{odd}</translation></value>")
    (report,) = ccda.read(document.encode())
    assert (report.results[0].value, report.results[0].unit) == ("152", "THOUS/MCL")


ENTITIES = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))


@pytest.mark.parametrize(
    "document",
    [
        f'<!DOCTYPE a [<!ENTITY e0 "ha">{ENTITIES}]><a>&e11;</a>',
        f'<!DOCTYPE a [<!ENTITY e0 "ha">{ENTITIES}]><a b="&e11;"/>',
        '<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/hostname">]><a>&f;</a>',
        '<!DOCTYPE ClinicalDocument SYSTEM "http://127.0.0.1:9/x.dtd"><a/>',
        "<a>",
        "",
        "<a/>",
        "<section><code code='8716-3'/></section>",
    ],
    ids=["text", "attribute", "file", "network", "open", "empty", "other", "vital signs"],
)
def test_no_ccda_is_refused(document: str) -> None:
    with pytest.raises(UnreadableReportError):
        list(ccda.read(document.encode()))


TABLE = (
    "Lab;Test;Ergebnis;Einheit;Referenzbereich;Datum\n"
    "Ost;Glukose;5,4;mmol/l;3,9-5,5;03.02.2024\n"
    "Ost;Ferritin;;ng/ml;;03.02.2024\n"
    "Ost;;1;ng/ml;;03.02.2024\n"
    "Ost;TSH;1,2;mU/l;0,4-4,0;03.02.2024 07:30\n"
    "Ost;fT4;1\n"
    "\n"
    "Ost;CRP;<0,3;mg/l;<5;gestern\n"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_table(encoding: str) -> None:
    day, morning, rest = csv_table.read(TABLE.encode(encoding))
    assert (day.lab_name, day.collected) == ("Ost", date(2024, 2, 3))
    assert day.results == (Result("line 2", "Glukose", "5,4", "mmol/l", "3,9-5,5", collected=date(2024, 2, 3)),)
    assert morning.collected == datetime(2024, 2, 3, 7, 30)  # noqa: DTZ001
    assert [place for place, _ in faults([rest])] == ["line 3", "line 4", "line 6", "line 8"]


@pytest.mark.parametrize(
    ("dates", "read"),
    [
        (["03/04/2024", "25/04/2024"], [date(2024, 4, 3), date(2024, 4, 25)]),
        (["03/04/2024", "04/25/2024"], [date(2024, 3, 4), date(2024, 4, 25)]),
        (["03/04/2024", "05/06/2024"], []),
        (["13/04/2024", "04/13/2024"], []),
        (["2024-04-03", "2024-04-03T10:00:00Z"], [date(2024, 4, 3), datetime(2024, 4, 3, 10, tzinfo=UTC)]),
    ],
)
def test_a_date_that_could_be_two_is_none(dates: list[str], read: list[date]) -> None:
    rows = "".join(f"Glucose,5,{text}\n" for text in dates)
    reports = list(csv_table.read(f"Test,Result,Date\n{rows}".encode()))
    assert [report.collected for report in reports if report.results] == read
    assert len(faults(reports)) == len(dates) - len(read)


@pytest.mark.parametrize(("low", "high", "printed"), [("3", "5", "3-5"), ("3", "", ">=3"), ("", "5", "<=5")])
def test_limits_in_columns_of_their_own(low: str, high: str, printed: str) -> None:
    (report,) = csv_table.read(f"Test,Value,Ref Low,Ref High\nX,4,{low},{high}\n".encode())
    assert report.results[0].reference_range == printed


@pytest.mark.parametrize(
    "data", [b"", b"\n\n", b"Test,Unit\nx,y\n", b"Value\n1\n", b'Test,Value\n"x,1\n', b"Test,Value\nx," + b"1" * 20_000]
)
def test_no_table_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableReportError):
        list(csv_table.read(data))


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b'\xef\xbb\xbf {"resourceType": "Bundle"}', "fhir"),
        (b"MSH|", "hl7v2"),
        (b"\x0bMSH|", "hl7v2"),
        (b"<?xml", "ccda"),
        (b"Test,Value", "csv"),
    ],
)
def test_a_file_is_recognised_by_how_it_begins(data: bytes, name: str) -> None:
    assert recognise(data) == name


@pytest.mark.parametrize("data", [b"%PDF-1.7", b"PK\x03\x04", b"\x89PNG\r\n", b"\xff\xd8\xff\xe0"])
def test_documents_are_no_files_of_results(data: bytes) -> None:
    with pytest.raises(UnreadableReportError):
        recognise(data)


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@given(data=st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
def test_noise_is_refused_or_accounted_for(reader: Callable[[bytes], list[Report]], data: bytes) -> None:
    try:
        reports = list(reader(data))
    except UnreadableReportError:
        return
    assert all(result.name and (result.value or result.withdrawn) for report in reports for result in report.results)


@given(st.lists(st.sampled_from([*ORU.split("\r"), "OBX|", "OBX|9|NM|^^||1", "SPM|1", "NTE", "OBR", "ZZZ|x"])))
def test_segments_in_any_order(segments: list[str]) -> None:
    try:
        reports = list(hl7.read("\r".join([ORU.split("\r")[0], *segments]).encode()))
    except UnreadableReportError:
        return
    assert all(result.name and (result.value or result.withdrawn) for report in reports for result in report.results)


NAMES = (
    *("resourceType", "code", "coding", "text", "display", "valueQuantity", "value", "result", "reference", "entry"),
    *("resource", "referenceRange", "low", "high", "component", "hasMember", "id", "contained", "status", "specimen"),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner | st.just("Observation"),
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(json_values)
def test_resources_of_any_shape(value: Any) -> None:
    try:
        reports = list(fhir.read(json.dumps(value).encode()))
    except UnreadableReportError:
        return
    assert all(result.name and (result.value or result.withdrawn) for report in reports for result in report.results)
