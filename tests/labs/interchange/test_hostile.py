"""Files of results that are made to do harm, or are broken in unusual ways."""

import json
from pathlib import Path

import pytest

from services.labs.confined import Limits
from services.labs.interchange import ccda, fhir, hl7
from services.labs.interchange.read_file import LIMITS, MAX_TEXT, read_file
from services.labs.reports import UnreadableReportError
from tests.harness import Running
from tests.labs.conftest import As
from tests.labs.interchange.importing import counts, imported, markers
from vitalis.labs.v1 import biomarker_aliases_pb2

HEADER = "Date,Lab,Test,Result,Unit\n"
MSH = r"MSH|^~\&|LIS|Lab|APP|ME|20250304||ORU^R01|1|P|2.5.1"


def resource(name: str, value: str) -> str:
    """An Observation whose value is written so."""
    told = {"resourceType": "Observation", "code": {"text": name}, "valueQuantity": {"value": 0}}
    return json.dumps(told, ensure_ascii=False).replace('"value": 0', f'"value": {value}')


@pytest.mark.parametrize("value", ["1e1000000000000000000", "-1e-99999999999999999999999", "1" * 5000])
def test_a_number_without_end_does_not_stop_the_other_lines(value: str) -> None:
    lines = [resource("A", "1"), resource("B", value), resource("C", "3")]
    names = [result.name for report in fhir.read("\n".join(lines).encode()) for result in report.results]
    assert names == ["A", "C"] or names == ["A", "B", "C"]
    with_faults = [fault.place for report in fhir.read("\n".join(lines).encode()) for fault in report.rejected]
    assert len(names) + len(with_faults) == 3


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x1c"])
def test_a_line_of_ndjson_ends_where_json_says(separator: str) -> None:
    name = f"Vitamin{separator}D" if separator.isprintable() or separator in "\u2028\u2029\x85" else "Vitamin D"
    lines = [resource("A", "1"), resource(name, "2")]
    (report,) = fhir.read("\n".join(lines).encode())
    assert [result.name for result in report.results] == ["A", name]


@pytest.mark.parametrize(
    "written",
    [
        *(r"1\.spX\5", r"1\.sp99999999999999999999\5", r"1\.in9999999999\5", r"1\XZZ\5", "1\\5"),
        *(r"1\Z01\5", r"1\C2842\5", r"1\\5", r"1\.sp-999\5", r"1\.sp٥\5"),
    ],
)
def test_an_escape_that_is_none_stays_as_it_is_printed(written: str) -> None:
    message = "\r".join([MSH, "OBR|1", f"OBX|1|ST|1^A||{written}||", "OBX|2|ST|1^B||2||"])
    (report,) = hl7.read(message.encode())
    assert [(result.name, result.value) for result in report.results] == [("A", written), ("B", "2")]


@pytest.mark.parametrize(
    ("written", "printed"),
    [(r"\H\5.4\N\ ", "5.4"), (r"5\S\4", "5^4"), (r"a\.br\b", "a\nb"), (r"\X3C\5", "<5"), (r"1\T\2", "1&2")],
)
def test_an_escape_is_what_it_stands_for(written: str, printed: str) -> None:
    message = "\r".join([MSH, "OBR|1", f"OBX|1|ST|1^A||{written}||"])
    (report,) = hl7.read(message.encode())
    assert [result.value for result in report.results] == [printed]


@pytest.mark.parametrize("depth", [1, 2, 60])
def test_a_section_in_a_section_is_read_once(depth: int) -> None:
    value = '<code displayName="LDL"/><value value="105" unit="mg/dL"/>'
    organizer = f"<organizer><component><observation>{value}</observation></component></organizer>"
    sections = '<section><code code="30954-2"/><entry>' * depth + organizer + "</entry></section>" * depth
    document = f'<ClinicalDocument xmlns="urn:hl7-org:v3">{sections}{sections}</ClinicalDocument>'
    places = [result.place for report in ccda.read(document.encode()) for result in report.results]
    assert places == ["organizer 1, observation 1", "organizer 2, observation 1"]


async def test_a_text_that_stands_beside_each_result_is_not_told_each_time(tmp_path: Path) -> None:
    components = [{"code": {"text": "A"}, "valueInteger": number} for number in range(300)]
    observation = {"resourceType": "Observation", "note": [{"text": "x" * 500_000}], "component": components}
    path = tmp_path / "file"
    path.write_text(json.dumps(observation))
    _, reports = await read_file(path, "", "", LIMITS._replace(answer_bytes=2 << 20))
    assert {len(result.note) for report in reports for result in report.results} == {MAX_TEXT}


@pytest.mark.parametrize("limits", [LIMITS._replace(answer_bytes=1000)])
async def test_an_answer_that_the_worker_could_not_hold_is_none(tmp_path: Path, limits: Limits) -> None:
    path = tmp_path / "file"
    path.write_text(HEADER + "2025-03-04,Lab,Glucose,95,mg/dL\n" * 100)
    with pytest.raises(UnreadableReportError, match="time or memory"):
        await read_file(path, "", "", limits)


async def test_more_than_there_can_be_is_kept_as_printed(labs: Running, ada: As) -> None:
    units = ["Tm9/am9.Tm9/am9.g/L", "am9/Tm9.am9/Tm9.g/L", "Tg/aL", "10^99999/L"]
    rows = [f"2025-03-0{day},Lab,Ferritin,1e20,{unit}\n" for day, unit in enumerate(units, start=1)]
    done = await imported(labs, ada, HEADER + "".join(rows) + "2025-03-09,Lab,Ferritin,95,ng/mL\n")
    assert (done.status, counts(done.result)) == ("succeeded", (5, 0, 0, 0, 0))
    stored = {marker.unit: marker for marker in await markers(ada)}
    assert [marker.biomarker for marker in stored.values()] == ["ferritin", "", "", "", ""]
    assert stored["ng/mL"].value_canonical == 95


async def test_a_name_that_was_learnt_since_is_the_marker_beside_it(labs: Running, ada: As) -> None:
    """The panel has the marker once, whichever of its names the file has first."""
    old = "2025-03-04,Lab,Eisenspeicher,95,ng/mL\n"
    await imported(labs, ada, HEADER + old)
    alias = biomarker_aliases_pb2.BiomarkerAlias(alias="Eisenspeicher", biomarker="ferritin")
    request = biomarker_aliases_pb2.CreateBiomarkerAliasRequest(user_id=ada.id, biomarker_alias=alias)
    await ada.aliases("CreateBiomarkerAlias", request)
    again = await imported(labs, ada, HEADER + old.replace("95", "96") + "2025-03-04,Lab,Ferritin,97,ng/mL\n")
    assert (again.status, counts(again.result)) == ("succeeded", (0, 1, 0, 0, 1))
    assert [(marker.biomarker, marker.value) for marker in await markers(ada)] == [("ferritin", "96")]
