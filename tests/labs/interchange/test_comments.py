"""Comments of laboratories in files: with the result or the report whose they are, out and in again."""

import json

import pytest

from tests.harness import Running, person
from tests.labs.conftest import As
from tests.labs.interchange.importing import counts, imported, markers, panels, rolled_back
from tests.labs.interchange.test_export import exported

ORU = "\r".join(
    [
        r"MSH|^~\&|LIS|North Lab|APP|ME|202503051200||ORU^R01|7|P|2.5.1",
        "PID|1||7^^^X^MR",
        "NTE|1|L|about the person",
        "OBR|1||A-1|24323-8^Metabolic panel^LN|||20250304080000",
        "NTE|1|L|Fasting specimen~Received late",
        "OBX|1|NM|2345-7^Glucose^LN||95|mg/dL|70-99||||F",
        r"NTE|1|L|First line\.br\second line",
        "NTE|2|L|third line",
        "OBX|2|NM|2823-3^Potassium^LN||6.1|mmol/L|3.5-5.1|H|||X",
        "NTE|1|L|about what is no result",
        "OBX|3|NM|2951-2^Sodium^LN||140|mmol/L|136-145||||F",
        "OBR|2||A-2|13457-7^Lipids^LN|||20250304080000",
        "OBX|1|NM|13457-7^LDL^LN||100|mg/dL|<130||||F",
    ]
)
SAID = {"glucose": "First line\nsecond line\nthird line", "sodium": "", "ldl_cholesterol": ""}


async def told(who: As) -> tuple[dict[str, str], dict[str, str]]:
    """The comments of the markers and of the panels."""
    headers = [(await who.panels("GetBloodPanel", id=panel.id)).blood_panel for panel in await panels(who)]
    return (
        {marker.biomarker: marker.lab_comment for marker in await markers(who)},
        {panel.panel_name: panel.lab_comment for panel in headers},
    )


async def test_comments_go_out_and_come_back(labs: Running, ada: As) -> None:
    await imported(labs, ada, ORU)
    first = await told(ada)
    assert first == (SAID, {"Metabolic panel": "Fasting specimen\nReceived late", "Lipids": ""})
    bundle = await exported(ada)
    by_name = {entry["resource"]["code"].get("text"): entry["resource"] for entry in bundle["entry"]}
    assert by_name["Glucose"]["note"] == [{"text": SAID["glucose"]}]
    assert by_name["Metabolic panel"]["conclusion"] == "Fasting specimen\nReceived late"
    bob = As(labs, person())
    await imported(labs, bob, json.dumps(bundle))
    assert await told(bob) == first
    assert counts((await imported(labs, bob, json.dumps(bundle))).result) == (0, 0, 3, 0, 0)


async def test_a_comment_that_comes_later_is_a_change_that_can_be_taken_back(labs: Running, ada: As) -> None:
    bare = "\r".join(line for line in ORU.split("\r") if not line.startswith("NTE"))
    await imported(labs, ada, bare)
    done = await imported(labs, ada, ORU)
    assert counts(done.result) == (0, 1, 2, 0, 1)
    assert (await told(ada))[0] == SAID
    # A file that says nothing more says nothing against it.
    assert counts((await imported(labs, ada, bare)).result) == (0, 0, 3, 0, 1)
    assert (await told(ada))[0] == SAID
    await rolled_back(ada, done.id)
    assert set((await told(ada))[0].values()) == set((await told(ada))[1].values()) == {""}


@pytest.mark.parametrize(("length", "doubts"), [(4000, {}), (4001, {"comment_cut": 1})])
async def test_a_comment_that_is_too_long_does_not_cost_the_result(
    labs: Running, ada: As, length: int, doubts: dict[str, int]
) -> None:
    done = await imported(labs, ada, f"Date,Test,Result,Unit,Comment\n2025-01-02,Glucose,95,mg/dL,{'x' * length}\n")
    assert dict(done.result.doubts_by_kind) == doubts
    (marker,) = await markers(ada)
    assert marker.lab_comment == "x" * 4000


async def test_an_explanation_of_ranges_is_a_comment(labs: Running, ada: As) -> None:
    text = "Children: 3.5 to 5.0. " * 12
    done = await imported(labs, ada, f"Date,Test,Result,Unit,Range\n2025-01-02,Glucose,95,mg/dL,{text}\n")
    assert counts(done.result) == (1, 0, 0, 0, 0)
    (marker,) = await markers(ada)
    assert (marker.lab_comment, marker.HasField("ref_range_text")) == (text.strip(), False)
