"""What an extractor makes of a document: the built-in layouts, or one that is plugged in by a URL.

An extractor takes a file and answers with an `Extraction`, or raises
`NothingRead` with the reason. Whatever it says is only proposed: it goes
through the same review, and it is checked here as if an enemy had written it.
"""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from services.labs.documents.confined import parse_confined
from services.labs.reports import UNSTORABLE, parse_moment

# A doubt about a value that stands nowhere in the document.
NOT_IN_TEXT = "not_in_text"
MAX_VALUES = 3000
FURTHEST_POINTS = 1e6
# 200 dense pages. Whatever its letters, text and values of a document go into one message.
MAX_CHARACTERS = 1_000_000
NO_OCR = (
    "the document is a picture, and text recognition (Tesseract) is not installed here;"
    " the values can be entered by hand"
)


class NothingRead(Exception):
    """Nothing could be read in the document; the text says why, for people."""


def _clean(value: Any) -> Any:
    return UNSTORABLE.sub("", value).strip() if isinstance(value, str) else value


def _known_place(value: Any) -> Any:
    """Four numbers that a page can have, or no place."""
    numbers = value if isinstance(value, list | tuple) and len(value) == 4 else ()
    known = all(isinstance(number, int | float) and abs(number) < FURTHEST_POINTS for number in numbers)
    return tuple(map(float, numbers)) if known else ()


Text = Annotated[str, BeforeValidator(_clean), Field(max_length=2000)]


class _Answer(BaseModel):
    # What a later extractor says besides is passed over.
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class FoundValue(_Answer):
    """A value as printed, where it stands, and how far the extractor believes it (0 to 1)."""

    name: Annotated[Text, Field(min_length=1)]
    value: Annotated[Text, Field(min_length=1)]
    unit: Text = ""
    reference_range: Text = ""
    flag: Text = ""
    loinc: Text = ""
    specimen: Text = ""
    sub_panel: Text = ""
    page: Annotated[int, Field(ge=1, le=100_000)] | None = None
    box: Annotated[tuple[float, ...], BeforeValidator(_known_place)] = ()
    confidence: Annotated[float, Field(ge=0, le=1)] = 0.5
    # Whether the document's text has it; nobody's to say but ours.
    in_text: Annotated[bool, BeforeValidator(lambda _: True)] = True

    def columns(self) -> dict[str, Any]:
        """The value as a row's columns; nothing that a laboratory prints in one place is longer than they are."""
        return {
            "raw_name": self.name[:200],
            "value": self.value[:200],
            "unit": self.unit[:60] or None,
            "ref_range_text": self.reference_range[:200] or None,
            "flag": self.flag[:40] or None,
            "loinc_code": self.loinc[:20] or None,
            "specimen": self.specimen[:100] or None,
            "sub_panel": self.sub_panel[:100] or None,
            "page": self.page,
            "box": list(self.box),
            "confidence": round(self.confidence, 2),
            "doubts": [] if self.in_text else [NOT_IN_TEXT],
        }


class Extraction(_Answer):
    """What a document says. Dates are ISO 8601, with a time or without, "" where they are not known."""

    layout: Text = "external"
    pages: Annotated[int, Field(ge=0, le=100_000)] = 0
    text: Annotated[str, BeforeValidator(_clean), Field(max_length=MAX_CHARACTERS)] = ""
    lab_name: Text = ""
    lab_provider: Text = ""
    panel_name: Text = ""
    specimen_id: Text = ""
    collected: Text = ""
    reported: Text = ""
    readings: Annotated[list[FoundValue], Field(max_length=MAX_VALUES)] = []

    def header(self) -> dict[str, Any]:
        """The header as JSON of a ReportHeader: a time without its offset is no instant, and only its day is taken."""
        collected, reported = parse_moment(self.collected), parse_moment(self.reported)
        said = {
            "collected_date": collected.isoformat()[:10] if collected else None,
            "collected_at": _instant(collected),
            "reported_at": _instant(reported),
            "lab_name": self.lab_name[:200],
            "lab_provider": self.lab_provider[:200],
            "panel_name": self.panel_name[:200],
            "specimen_id": self.specimen_id[:100],
        }
        return {name: value for name, value in said.items() if value}


def _instant(moment: date | None) -> str | None:
    """In UTC: offsets have seconds, and lead beyond the calendar's ends, which no message has."""
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        return None
    try:
        return moment.astimezone(UTC).isoformat()
    except OverflowError:
        return None


Extract = Callable[[Path], Awaitable[Extraction]]


def read_answer(answer: bytes) -> Extraction:
    """An extractor's JSON, checked. Raises ValueError, whose text quotes nothing of it."""
    try:
        # Python's own reader lets halves of surrogate pairs through, which some PDFs hold; they are left out then.
        said = json.loads(answer)
    except (ValueError, RecursionError):
        raise ValueError("no JSON") from None
    try:
        return Extraction.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place}: {first['type']}") from None


async def read_layouts(path: Path) -> Extraction:
    """Reads a document by the built-in layouts, in a process that has limits. Raises NothingRead."""
    said = await parse_confined(path)
    if said["status"] == "no_ocr":
        raise NothingRead(NO_OCR)
    if said["status"] != "read":
        raise NothingRead(f"{said['reason']}; the values can be entered by hand")
    try:
        return read_answer(json.dumps(said).encode())
    except ValueError:
        raise NothingRead("the document has more in it than a report; the values can be entered by hand") from None
