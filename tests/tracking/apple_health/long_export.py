"""An export of any length that is made while it is read: all of one month, in no order."""

import io

_HEAD = b'<HealthData locale="en_US"><ExportDate value="2026-11-19 07:00:00 +0000"/>'
_TAIL = b"</HealthData>"
_SIZE = 200


_IGNORED = b'<Record type="Unheard" value="1"/>'.ljust(_SIZE)


def _element(index: int) -> bytes:
    if index % 10:
        return _IGNORED
    index //= 10
    # A step that is prime to the number of seconds visits them in no order.
    second = index * 7919 % (28 * 86400)
    day, clock = 1 + second // 86400, second % 86400
    start = f"2026-02-{day:02} {clock // 3600:02}:{clock // 60 % 60:02}:{clock % 60:02} +0000"
    kind = index % 3
    if kind == 0:
        text = f'<Record type="HKQuantityTypeIdentifierHeartRate" unit="count/min" value="60" startDate="{start}" '
        text += f'endDate="{start}"/>'
    elif kind == 1:
        text = f'<Record type="HKQuantityTypeIdentifierStepCount" unit="count" value="0.01" startDate="{start}" '
        text += f'endDate="{start}"/>'
    elif index % 300 == 2:
        text = f'<Workout workoutActivityType="X" startDate="{start}" endDate="{start}"/>'
    else:
        text = '<Record type="HKCategoryTypeIdentifierSleepAnalysis" value="HKCategoryValueSleepAnalysisAsleepCore" '
        text += f'startDate="{start}" endDate="{start[:17]}59 +0000"/>'
    return text.encode().ljust(_SIZE)


class LongExport(io.RawIOBase):
    """A seekable file of `elements` elements of 200 bytes each; never more than a piece of it exists."""

    def __init__(self, elements: int) -> None:
        self._elements = elements
        self._length = len(_HEAD) + elements * _SIZE + len(_TAIL)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}[whence]
        return self._position

    def read(self, size: int = -1) -> bytes:
        end = self._length if size < 0 else min(self._length, self._position + size)
        first = max(0, self._position - len(_HEAD)) // _SIZE
        last = min(self._elements, max(0, end - len(_HEAD)) // _SIZE + 1)
        data = b"".join(_element(index) for index in range(first, last))
        begin = len(_HEAD) + first * _SIZE
        if self._position < len(_HEAD):
            data, begin = _HEAD + data, 0
        if last == self._elements:
            data += _TAIL
        found = data[self._position - begin : end - begin]
        self._position += len(found)
        return found
