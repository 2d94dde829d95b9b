"""Writing elements as Health writes them."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from xml.sax.saxutils import quoteattr
from zoneinfo import ZoneInfo

from examples.apple_health.life import HOME, HOUR

WATCH, PHONE = "Zoë’s Apple Watch", "Zoë’s iPhone"
_DEVICES = {
    WATCH: "name:Apple Watch, manufacturer:Apple Inc., model:Watch, hardware:Watch6,2, software:{version}>",
    PHONE: "name:iPhone, manufacturer:Apple Inc., model:iPhone, hardware:iPhone13,2, software:{version}>",
}
_HOME = ZoneInfo(HOME)
_CLOCK = [f":{s // 60:02}:{s % 60:02}" for s in range(3600)]


@lru_cache(maxsize=4096)
def _hour(hour: int) -> tuple[str, str]:
    local = datetime.fromtimestamp(hour * HOUR, UTC).astimezone(_HOME)
    return local.strftime("%Y-%m-%d %H"), local.strftime(" %z")


def stamp(instant: int) -> str:
    """An instant as the phone writes it at export: in its own zone, wherever the person was."""
    # The home zone's offset is whole hours.
    hour, zone = _hour(instant // HOUR)
    return hour + _CLOCK[instant % HOUR] + zone


def device(source: str, version: str, pointer: int) -> str:
    """The device attribute of Apple's own devices, escaped."""
    text = f"<<HKDevice: {pointer:#x}>, {_DEVICES[source].format(version=version)}"
    return quoteattr(text)[1:-1]


def metadata(**entries: str) -> str:
    return "".join(
        f"  <MetadataEntry key={quoteattr(key)} value={quoteattr(value)}/>\n" for key, value in entries.items()
    )


class RecordType:
    """Writes the Records of one type and source."""

    def __init__(
        self,
        write: Callable[[str], None],
        kind: str,
        source: str,
        unit: str,
        version: str = "10.1",
        device_from: int = 0,
    ) -> None:
        """Records from before `device_from` name no device, as those of early systems."""
        hk = kind if kind.startswith("HK") else f"HKQuantityTypeIdentifier{kind}"
        pointer = 0x280000000 + (sum(hk.encode()) * 7919 + len(source)) % 0xFFFFF * 16
        owner = f' device="{device(source, version, pointer)}"' if source in _DEVICES else ""
        unit_text = f" unit={quoteattr(unit)}" if unit else ""
        self.type = hk
        self._write = write
        name = f" <Record type={quoteattr(hk)} sourceName={quoteattr(source)} sourceVersion={quoteattr(version)}"
        self._early_head = f'{name}{unit_text} creationDate="'
        self._head = f'{name}{owner}{unit_text} creationDate="'
        self._device_from = device_from

    def __call__(self, start: int, end: int, value: str, children: str = "") -> None:
        first = stamp(start)
        last = first if end == start else stamp(end)
        head = self._early_head if start < self._device_from else self._head
        text = f'{head}{stamp(end + 7)}" startDate="{first}" endDate="{last}" value="{value}"'
        self._write(f"{text}>\n{children} </Record>\n" if children else f"{text}/>\n")
