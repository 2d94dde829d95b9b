"""Names of time zones, as the IANA database of the package `tzdata` knows them."""

from functools import cache
from importlib import resources

from services.kit.errors import invalid


def canonical(name: str) -> str:
    """The zone's present name: `Asia/Kolkata` for `asia/calcutta`. Raises INVALID_FIELD for no zone."""
    try:
        return _names()[name.lower()]
    except KeyError:
        raise invalid("timezone", "must be a time zone of the IANA database, such as Europe/Vienna") from None


@cache
def _names() -> dict[str, str]:
    """The present name of every zone and of every older name, by its lower case.

    The database links places whose clocks have agreed since 1970 to each other
    (Stockholm to Berlin); a name that stands in its list of countries' zones is
    therefore kept, whatever it links to.
    """
    data = resources.files("tzdata.zoneinfo")
    listed = {line.split("\t")[2].strip() for line in _lines(data.joinpath("zone.tab").read_text())}
    zones, links = set(), {}
    for line in _lines(data.joinpath("tzdata.zi").read_text()):
        kind, first, second, *_ = *line.split(), ""
        if kind == "Z":
            zones.add(first)
        elif kind == "L":
            links[second] = first
    present = {name: name for name in zones | listed if name != "Factory"}
    present |= {name: target for name, target in links.items() if name not in listed}
    # What everybody calls it.
    present |= {name: "UTC" for name, target in present.items() if target == "Etc/UTC"}
    return {name.lower(): target for name, target in present.items()}


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]
