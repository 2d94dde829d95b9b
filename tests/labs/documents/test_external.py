"""An extractor that is plugged in: one that helps, and ones that lie, hang and answer garbage."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.labs.documents.extraction import MAX_CHARACTERS, Extraction, read_answer
from tests.databases import ServiceDatabase
from tests.harness import Running, make_trust, person
from tests.labs.conftest import As
from tests.labs.documents.printed import QUEST, lines
from tests.labs.documents.uploaded import confirm, read, values_of
from tests.services import serving

# Answers each request with what its argument says, and writes down what it was sent.
SERVER = """
import http.server, sys, time
told, sent = open(sys.argv[1], encoding="utf-8").read(), sys.argv[2]
class Extractor(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        open(sent, "wb").write(self.rfile.read(int(self.headers["content-length"])))
        if told == "hang":
            time.sleep(60)
        if told == "endless":
            self.send_response(200); self.end_headers()
            while True:
                self.wfile.write(b"[" * 65536)
        self.send_response(302 if told == "elsewhere" else 200)
        self.send_header("location", "http://127.0.0.1:9/"); self.end_headers()
        self.wfile.write(told.encode())
    def log_message(self, *arguments):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Extractor)
print(server.server_port, flush=True)
server.serve_forever()
"""
TRUE = {"name": "TSH", "value": "1.84", "unit": "mIU/L", "confidence": 1.0, "page": 1, "box": [1, 2, 3, 4]}
MADE_UP = {"name": "Troponin I", "value": "99", "unit": "ng/L", "confidence": 1.0, "box": [1, "x", None, 1e999]}


@contextmanager
def extractor(told: str, sent: Path) -> Iterator[str]:
    """A server in a process of its own that answers so; its URL."""
    answer = sent.with_suffix(".told")
    answer.write_text(told, encoding="utf-8")
    with subprocess.Popen([sys.executable, "-c", SERVER, answer, sent], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/"
        finally:
            process.kill()


Serve = Callable[..., Any]


@pytest.fixture
def served(tmp_path: Path, clone_database: Callable[[str], ServiceDatabase]) -> Serve:
    """`async with served(answer) as (labs, ada)`: labs with an extractor that answers so."""

    @asynccontextmanager
    async def serve(told: str, **settings: Any) -> AsyncIterator[tuple[Running, As]]:
        with extractor(told, tmp_path / "sent.json") as url:
            given = {"extractor_url": url, "extractor_seconds": 2, **settings}
            async with serving("labs", tmp_path, clone_database("labs"), make_trust(tmp_path), **given) as labs:
                yield labs, As(labs, person())

    return serve


@pytest.fixture
def report(tmp_path: Path) -> bytes:
    return lines(tmp_path / "quest.pdf", QUEST).read_bytes()


async def test_what_it_says_goes_through_the_same_review_and_is_believed_less(
    served: Serve, report: bytes, tmp_path: Path
) -> None:
    answer = {"collected": "2023-12-31", "lab_name": "Quest", "text": "not the document's", "readings": [TRUE, MADE_UP]}
    async with served(json.dumps(answer)) as (labs, ada):
        document = await read(labs, ada, report)
        assert (document.parse_status, document.layout, document.page_count) == ("needs_review", "external", 1)
        assert "CHOLESTEROL" in document.document_text
        tsh, made_up = await values_of(ada, document.id)
        assert (tsh.confidence, list(tsh.doubts), list(tsh.box)) == (0.8, [], [1, 2, 3, 4])
        assert (made_up.confidence, list(made_up.box)) == (0.2, [])
        assert set(made_up.doubts) >= {"not_in_text", "low_confidence"}
        assert (await ada.panels("ListBloodPanels")).blood_panels == []
        await ada.document_values("DeleteDocumentValue", id=made_up.id)
        assert (await confirm(ada, document.id)).linked_record_type == "blood_panel"
    sent = json.loads(await asyncio.to_thread((tmp_path / "sent.json").read_bytes))
    assert list(sent) == ["text"]
    assert "CHOLESTEROL" in sent["text"]


@pytest.mark.parametrize(
    "told",
    [
        *("hang", "endless", "elsewhere", "", "null", "[]", "{", "no JSON at all"),
        json.dumps({"readings": [{"name": "TSH", "value": 1.84}]}),
        json.dumps({"readings": [{"name": "TSH", "value": "1.84", "confidence": 7}]}),
        json.dumps({"readings": [TRUE] * 3001}),
        '{"readings": ' + "[" * 50_000,
    ],
    ids=["hang", "endless", "elsewhere", "empty", "null", "list", "half", "text", "number", "too sure", "many", "deep"],
)
async def test_what_is_no_answer_leaves_it_to_the_layouts(served: Serve, report: bytes, told: str) -> None:
    async with served(told) as (labs, ada):
        document = await read(labs, ada, report)
        assert (document.parse_status, document.layout) == ("needs_review", "quest")
        assert len(await values_of(ada, document.id)) == 3


async def test_one_that_is_not_there_leaves_it_to_the_layouts(served: Serve, report: bytes) -> None:
    async with served("", extractor_url="http://127.0.0.1:9/") as (labs, ada):
        assert (await read(labs, ada, report)).layout == "quest"


async def test_pages_are_sent_as_pictures_if_that_is_configured(served: Serve, report: bytes, tmp_path: Path) -> None:
    async with served(json.dumps({"readings": [TRUE]}), extractor_pictures=True) as (labs, ada):
        assert (await read(labs, ada, report)).layout == "external"
    sent = json.loads(await asyncio.to_thread((tmp_path / "sent.json").read_bytes))
    assert [page["page"] for page in sent["pages"]] == [1]
    assert sent["pages"][0]["png"].startswith("iVBORw0KGgo")


async def test_it_reads_what_nothing_here_can(served: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    # Nothing is found there, Tesseract least of all.
    monkeypatch.setenv("PATH", "/nowhere")
    Image.new("L", (300, 100), 255).save(tmp_path / "scan.png")
    scan = await asyncio.to_thread((tmp_path / "scan.png").read_bytes)
    async with served(json.dumps({"readings": [TRUE]}), extractor_pictures=True) as (labs, ada):
        document = await read(labs, ada, scan)
        assert (document.parse_status, document.layout) == ("needs_review", "external")
        (tsh,) = await values_of(ada, document.id)
        assert tsh.value == "1.84"


async def test_characters_that_no_column_holds_are_left_out(served: Serve, report: bytes) -> None:
    odd = {"name": "T\u0000SH \ud800", "value": "1.84\u0007", "unit": "mIU/L", "confidence": 1}
    async with served(json.dumps({"lab_name": "\u0000Lab\udfff", "readings": [odd]})) as (labs, ada):
        document = await read(labs, ada, report)
        (tsh,) = await values_of(ada, document.id)
        assert (tsh.raw_name, tsh.value, document.report_header.lab_name) == ("TSH", "1.84", "Lab")


NAMES = [*TRUE, *Extraction.model_fields]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from([*TRUE, *Extraction.model_fields]), inner)
    ),
)


@given(json_values)
def test_any_answer_is_checked_or_refused(answer: Any) -> None:
    try:
        found = read_answer(json.dumps(answer).encode())
    except ValueError:
        return
    assert all(0 <= reading.confidence <= 1 and len(reading.box) in (0, 4) for reading in found.readings)
    assert all(reading.name and reading.value and reading.in_text for reading in found.readings)
    found.header()


@pytest.mark.parametrize(
    "moment",
    [
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2026-01-01T10:00:00+05:30:15",
        "2026-01-01T10:00:00.123456+00:00:00.5",
        "2026-W01-1T10:00:00+23:59",
        "20260101T100000Z",
        "2026-01-01 10:00:00,5+02:00",
    ],
)
async def test_a_moment_that_no_message_has_leaves_the_document_readable(
    served: Serve, report: bytes, moment: str
) -> None:
    answer = {"collected": moment, "reported": moment, "readings": [TRUE]}
    async with served(json.dumps(answer)) as (labs, ada):
        document = await read(labs, ada, report)
        assert (document.parse_status, document.layout) == ("needs_review", "external")
        (listed,) = (await ada.documents("ListDocuments")).documents
        assert listed.report_header == document.report_header


@pytest.mark.parametrize("said", ["NaN", "Infinity", "-Infinity", "1e999", "-0.5"])
def test_a_confidence_is_a_number_between_0_and_1(said: str) -> None:
    with pytest.raises(ValueError, match="confidence"):
        read_answer(b'{"readings": [{"name": "TSH", "value": "1", "confidence": %b}]}' % said.encode())


def test_a_text_that_no_message_could_carry_is_refused() -> None:
    with pytest.raises(ValueError, match="text"):
        read_answer(json.dumps({"text": "\U0001f489" * (MAX_CHARACTERS + 1)}).encode())
