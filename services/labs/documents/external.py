"""An extractor that is plugged in by its URL, such as a language model's: it gets the text, and answers like `parse`.

    POST URL   {"text": "…", "pages": [{"page": 1, "png": "<base64>"}]}
    200        {"collected": "2026-11-19", "lab_name": "…",
                "readings": [{"name": "Glucose", "value": "5.5", "unit": "mmol/L", "confidence": 0.9, …}]}

`extraction.Extraction` has every field. `pages` are sent only if that is
configured. An answer that is late, too long or no such JSON counts for
nothing, and the built-in layouts' does.
"""

import asyncio
import tempfile
from base64 import b64encode
from pathlib import Path
from typing import Any

import httpx
import orjson
import structlog

from services.labs.documents.confined import draw_confined
from services.labs.documents.extraction import Extraction, FoundValue, NothingRead, read_answer, read_layouts

log = structlog.get_logger()
LAYOUT = "external"
# Who has not seen the laboratory's layout is never believed as one who has; what is not in the text, hardly.
MOST_BELIEVED = 0.8
MADE_UP = 0.2
MAX_ANSWER_BYTES = 5 * 2**20
CONNECT_SECONDS = 5.0
OK = 200


class ExternalExtractor:
    """Asks the extractor at a URL; `seconds` is for the whole of its answer."""

    def __init__(self, url: str, seconds: float, *, pictures: bool) -> None:
        self._url = url
        self._seconds = seconds
        self._pictures = pictures

    async def read(self, path: Path) -> Extraction:
        """What the extractor says; what the layouts say where it gives no usable answer. Raises NothingRead."""
        own: Extraction | NothingRead
        try:
            own = await read_layouts(path)
        except NothingRead as nothing:
            own = nothing
        text = own.text if isinstance(own, Extraction) else ""
        request = {"text": text, **await self._drawn(path)}
        if any(request.values()):
            try:
                return _doubted(await self._ask(request), own)
            except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
                # The error's text may quote the request, and with it the document.
                log.warning("extractor", why=type(error).__name__)
        if isinstance(own, NothingRead):
            raise own
        return own

    async def _drawn(self, path: Path) -> dict[str, Any]:
        if not self._pictures:
            return {}
        with tempfile.TemporaryDirectory(prefix="pages-", dir=path.parent) as folder:
            drawn = await draw_confined(path, Path(folder))
            count = drawn.get("pages", 0)
            files = [(number, Path(folder, f"{number}.png")) for number in range(1, count + 1)]
            read = await asyncio.to_thread(lambda: [(number, b64encode(file.read_bytes())) for number, file in files])
        return {"pages": [{"page": number, "png": png.decode()} for number, png in read]}

    async def _ask(self, request: dict[str, Any]) -> Extraction:
        """Raises ValueError for what is no answer, TimeoutError and httpx's errors."""
        headers = {"content-type": "application/json", "accept-encoding": "identity", "user-agent": "vitalis"}
        async with (
            asyncio.timeout(self._seconds),
            httpx.AsyncClient(
                timeout=httpx.Timeout(self._seconds, connect=CONNECT_SECONDS), follow_redirects=False
            ) as client,
        ):
            async with client.stream("POST", self._url, content=orjson.dumps(request), headers=headers) as response:
                if response.status_code != OK:
                    raise ValueError("no answer")
                body = b""
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        raise ValueError("too long")
        return read_answer(body)


def _doubted(answer: Extraction, own: Extraction | NothingRead) -> Extraction:
    """The answer with its confidences capped; the text and the number of pages are the document's own."""
    known = own if isinstance(own, Extraction) else None
    squeezed = _squeezed(known.text) if known else ""
    readings = [_capped(reading, squeezed) for reading in answer.readings]
    return answer.model_copy(
        update={
            "layout": LAYOUT,
            "readings": readings,
            "text": known.text if known else answer.text,
            "pages": known.pages if known else answer.pages,
        }
    )


def _capped(reading: FoundValue, squeezed: str) -> FoundValue:
    is_there = not squeezed or all(_squeezed(part) in squeezed for part in (reading.name, reading.value))
    most = MOST_BELIEVED if is_there else MADE_UP
    return reading.model_copy(update={"confidence": min(reading.confidence, most), "in_text": is_there})


def _squeezed(text: str) -> str:
    """However it is broken into lines and columns."""
    return "".join(text.split()).casefold()
