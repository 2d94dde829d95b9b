"""Reading the elements under HealthData, one after the other, whatever stands between them.

The document type definition is never given to the parser: iOS 16 wrote a broken
one, and without it no entity can be declared. Where markup is malformed, the
element is reported with its byte offset and reading goes on at the next
top-level element.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, Protocol
from xml.parsers import expat

from services.tracking.apple_health.account import RefusedFile, Rejected
from services.tracking.apple_health.cleaning import Cleaner
from services.tracking.apple_health.container import HEAD_BYTES, HOW_TO_EXPORT, ROOT, Xml

CHUNK_BYTES = 2**17
REPORT_BYTES = 4 * 2**20
MAX_DEPTH = 16
MAX_TOKEN_BYTES = 2**20
# Food holds some forty nutrients; more can only be a Correlation that is not closed.
MAX_CORRELATION_RECORDS = 200
MAX_CHILDREN = 2000
# Of a workout's children together; what each attribute costs besides its text is counted too.
MAX_CHILDREN_CHARACTERS = 4 * 2**20
ATTRIBUTE_COST = 50
# The parser keeps every name that it meets; Apple's format has some sixty.
MAX_NAMES = 10_000
MAX_NAME_CHARACTERS = 2**20
TOP_LEVEL = ("Record", "Workout", "Correlation", "ActivitySummary", "ClinicalRecord", "Audiogram", "VisionPrescription")
_NEXT = re.compile(rb"<(?:" + "|".join(TOP_LEVEL).encode() + rb")(?=[\s/>])|</HealthData(?=[\s>])")
_LONGEST_NEXT = len("<VisionPrescription") + 1
_TYPE = re.compile(rb"<(\w{1,40})(?:[^<]*?\s(?:type|workoutActivityType)=\"(\w{1,100})\")?")
_BROKEN_DECLARATION = re.compile(rb"<!(?:ELEMENT|ATTLIST)[^>]*<!")
_PREFIX = b"<HealthData>"
_CODES = expat.errors.codes
_INVALID, _MISMATCH = _CODES[expat.errors.XML_ERROR_INVALID_TOKEN], _CODES[expat.errors.XML_ERROR_TAG_MISMATCH]

Attributes = dict[str, str]
# A child element of a top-level element: how deep below it, its name, its attributes.
Child = tuple[int, str, Attributes]


class Sink(Protocol):
    """Takes the elements; offsets are those of the element's first byte in the XML."""

    def begin(self, root: Attributes) -> None: ...
    def record(self, attributes: Attributes, zone: str | None, offset: int) -> None: ...
    def element(self, name: str, attributes: Attributes, children: list[Child], offset: int) -> None: ...
    def malformed(self, rejected: Rejected, record_type: str, offset: int) -> None: ...
    def warn(self, warning: str) -> None: ...


class _Misplaced(Exception):
    """A top-level element inside another: that one was not closed."""


def read_elements(xml: Xml, sink: Sink, on_progress: Callable[[int], None]) -> None:
    """Hands every element to `sink`. Raises RefusedFile; `on_progress` takes the bytes read and may raise."""
    reader = _Reader(sink)
    cleaner = Cleaner()
    reported = 0
    for chunk in _from_root(xml, sink, reader):
        reader.feed(cleaner.clean(chunk))
        if reader.closed:
            break
        if xml.position - reported >= REPORT_BYTES:
            reported = xml.position
            on_progress(reported)
    if not reader.closed:
        reader.feed(cleaner.clean(b"", last=True))
    reader.finish()
    while xml.read(CHUNK_BYTES):
        # To its end, so that the archive's checksum is checked.
        continue
    on_progress(xml.position)
    if cleaner.replaced_controls:
        sink.warn("control characters that XML does not allow were read as spaces")
    if cleaner.replaced_bytes:
        sink.warn("bytes that are not UTF-8 were read as question marks")


def _from_root(xml: Xml, sink: Sink, reader: "_Reader") -> Iterator[bytes]:
    """The chunks from the root element on; what stands before it, the DTD, is dropped."""
    head = b""
    root = None
    while root is None:
        chunk = xml.read(CHUNK_BYTES)
        head += chunk
        root = ROOT.search(head)
        if root is None and (not chunk or len(head) > HEAD_BYTES):
            raise RefusedFile(f"the XML has no HealthData; {HOW_TO_EXPORT}")
    if _BROKEN_DECLARATION.search(head, 0, root.start()):
        sink.warn("the file's document type definition is broken; it was not needed")
    reader.begin(root.start())
    yield head[root.start() :]
    while chunk := xml.read(CHUNK_BYTES):
        yield chunk


class _Reader:
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._record = sink.record
        self.closed = False
        self._depth = 0
        self._name = ""
        self._attributes: Attributes = {}
        self._offset = 0
        self._zone: str | None = None
        self._children: list[Child] = []
        self._intern: dict[str, str] = {}
        self._names = 0
        self._name_characters = 0
        # How much more of its children an element may keep.
        self._room = 0
        # The bytes that the parser has not done with, and where they begin.
        self._window = b""
        self._window_start = 0
        # While looking for the next element there is no parser.
        self._parser: Any = None
        self._base = 0
        self._restarted = False
        self._error_at = 0

    def begin(self, offset: int) -> None:
        self._window_start = offset
        self._start_parser(offset)

    def _start_parser(self, base: int) -> None:
        parser = expat.ParserCreate("utf-8", intern=self._intern)
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        # Newer versions may leave the last bytes lying until there are more.
        if hasattr(parser, "SetReparseDeferralEnabled"):
            parser.SetReparseDeferralEnabled(False)
        self._parser = parser
        self._base = base
        self._depth = 0
        self._zone = None
        self._children = []

    def feed(self, data: bytes) -> None:
        """Reads the next bytes. Raises RefusedFile."""
        if len(self._intern) != self._names:
            self._names = len(self._intern)
            self._name_characters = sum(map(len, self._intern))
        if self._names > MAX_NAMES or self._name_characters > MAX_NAME_CHARACTERS:
            raise RefusedFile("the XML has more names of elements and attributes than any export")
        self._window += data
        while not self.closed:
            if self._parser is None:
                if not self._find_next():
                    return
                data = self._window
            try:
                self._parser.Parse(data, False)
            except expat.ExpatError:
                self._give_up(self._base + self._parser.ErrorByteIndex, self._parser.ErrorCode)
                continue
            except _Misplaced:
                self._give_up(self._error_at, _INVALID)
                continue
            done = self._base + self._parser.CurrentByteIndex
            self._window = self._window[done - self._window_start :]
            self._window_start = done
            if len(self._window) <= MAX_TOKEN_BYTES:
                return
            self._give_up(done, 0)
            data = b""

    def finish(self) -> None:
        """Raises RefusedFile unless HealthData was closed."""
        if self.closed:
            return
        raise RefusedFile(f"the XML is cut off: it ends before </HealthData>; {HOW_TO_EXPORT}")

    def _give_up(self, at: int, code: int) -> None:
        """Reports the malformed element that the parser has met at `at`, and looks for the next one."""
        if self.closed:
            self._sink.warn("there is something after the end of HealthData; it was not read")
            return
        window = self._window
        inside = self._depth >= 2
        # A mismatch is met at the name after `</`.
        index = at - self._window_start
        if code == _MISMATCH and window.startswith(b"</", max(0, index - 2)):
            index -= 2
        # A `<` inside a tag begins the tag after it.
        at_next = code == _INVALID and window.startswith(b"<", index)
        # The end of an element whose beginning has been reported already.
        leftover = code == _MISMATCH and not inside and self._restarted
        if not leftover:
            tag = window.rfind(b"<", 0, index if at_next else index + 1)
            offset = self._offset if inside else self._window_start + max(tag, 0)
            rejected = Rejected("malformed_xml", "the element is not well-formed XML")
            self._sink.malformed(rejected, self._type_at(inside, tag), offset)
        self._parser = None
        self._restarted = True
        # An end that does not match may still be that of HealthData.
        skip = index if at_next or code == _MISMATCH else index + 1
        self._window = window[skip:]
        self._window_start += skip

    def _type_at(self, inside: bool, tag: int) -> str:
        if inside:
            return self._attributes.get("type") or self._attributes.get("workoutActivityType") or self._name
        match = _TYPE.match(self._window, tag) if tag >= 0 else None
        return (match.group(2) or match.group(1)).decode(errors="replace") if match else ""

    def _find_next(self) -> bool:
        match = _NEXT.search(self._window)
        if match is None:
            drop = max(0, len(self._window) - _LONGEST_NEXT)
            self._window = self._window[drop:]
            self._window_start += drop
            return False
        self._window = self._window[match.start() :]
        self._window_start += match.start()
        self._start_parser(self._window_start - len(_PREFIX))
        self._parser.Parse(_PREFIX, False)
        return True

    def _start(self, name: str, attributes: Attributes) -> None:
        depth = self._depth = self._depth + 1
        if depth == 2:
            self._name = name
            self._attributes = attributes
            self._room = MAX_CHILDREN_CHARACTERS
            self._offset = self._base + self._parser.CurrentByteIndex
        elif depth > 2:
            if self._name == "Record":
                if name == "MetadataEntry":
                    if attributes.get("key") == "HKTimeZone":
                        self._zone = attributes.get("value")
                elif name in TOP_LEVEL:
                    self._misplaced()
                elif depth > MAX_DEPTH:
                    self._too_deep()
            else:
                self._child(depth, name, attributes)
        elif not self._restarted:
            self._sink.begin(attributes)

    def _end(self, name: str) -> None:
        depth = self._depth = self._depth - 1
        if depth == 1:
            if name == "Record":
                self._record(self._attributes, self._zone, self._offset)
                self._zone = None
            else:
                children, self._children = self._children, []
                self._sink.element(name, self._attributes, children, self._offset)
        elif depth == 0:
            self.closed = True

    def _child(self, depth: int, name: str, attributes: Attributes) -> None:
        if depth > MAX_DEPTH:
            self._too_deep()
        children = self._children
        if name in TOP_LEVEL:
            # A correlation's records stand at the top level too, and are counted there.
            if name != "Record" or self._name != "Correlation" or len(children) >= MAX_CORRELATION_RECORDS:
                self._misplaced()
            children.append((depth - 2, name, {}))
        elif self._name == "Workout" and len(children) < MAX_CHILDREN and self._room > 0:
            self._room -= sum(map(len, attributes.values())) + ATTRIBUTE_COST * len(attributes)
            children.append((depth - 2, name, attributes))

    def _misplaced(self) -> NoReturn:
        self._error_at = self._base + self._parser.CurrentByteIndex
        raise _Misplaced

    def _too_deep(self) -> NoReturn:
        raise RefusedFile(f"the XML is nested deeper than {MAX_DEPTH} elements, as no export is")
