"""Making the bytes of an export readable without moving them: every offset stays what it is in the file."""

import codecs
import re

# XML 1.0, production 2: of the control characters only tab, line feed and carriage return.
_CONTROLS = bytes(c for c in range(32) if c not in (9, 10, 13))
_WITHOUT_CONTROLS = bytes.maketrans(_CONTROLS, b" " * len(_CONTROLS))
# U+FFFE and U+FFFF are no characters of XML either.
_NONCHARACTERS = re.compile(rb"\xef\xbf[\xbe\xbf]")


def _replace(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "?" * (error.end - error.start), error.end


codecs.register_error("vitalis-same-length", _replace)


class Cleaner:
    """Replaces what XML does not allow by as many bytes that it does."""

    def __init__(self) -> None:
        self._held = b""
        self.replaced_controls = False
        self.replaced_bytes = False

    def clean(self, data: bytes, last: bool = False) -> bytes:
        """The next bytes, cleaned; a character that is not whole yet comes with the next ones."""
        data = self._held + data
        self._held = b""
        cleaned = data.translate(_WITHOUT_CONTROLS)
        if cleaned != data:
            self.replaced_controls = True
        if cleaned.isascii():
            return cleaned
        if not last:
            whole = _whole(cleaned)
            self._held, cleaned = cleaned[whole:], cleaned[:whole]
        try:
            cleaned.decode()
        except UnicodeDecodeError:
            self.replaced_bytes = True
            cleaned = cleaned.decode(errors="vitalis-same-length").encode()
        if b"\xef\xbf" in cleaned:
            cleaned = _NONCHARACTERS.sub(b"???", cleaned)
        return cleaned


def _whole(data: bytes) -> int:
    """How many bytes there are before a last character that may not be whole."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte < 0x80:
            break
        if byte >= 0xC0:
            needed = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(data) - back if back < needed else len(data)
    return len(data)
