"""Figures that follow from a scan, each with its formula and who defined it so."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

from vitalis.labs.v1 import body_composition_pb2 as pb

# The international avoirdupois pound and inch of 1959.
KG_PER_LB = Decimal("0.45359237")
M_PER_IN = Decimal("0.0254")

_KG_PER_M2 = "kg/m²"
# Figures are shown to two decimals, as the reports do.
_DECIMALS = 2


class _Inputs:
    """The values of a scan by their paths; remembers which of those that were asked for are missing."""

    def __init__(self, scan: Any) -> None:
        self._scan = scan
        self._regions = {region.region: region for region in scan.regions}
        self.missing: list[str] = []

    def scan(self, field: str) -> float | None:
        return self._value(self._scan, field, field)

    def region(self, region: str, field: str) -> float | None:
        return self._value(self._regions.get(region), field, f"regions.{region}.{field}")

    def limbs(self, limb: str, field: str) -> float | None:
        """Both arms or legs: as one region, or the sum of right and left."""
        sides = [self._regions.get(f"{limb}_{side}") for side in ("right", "left")]
        whole = self._regions.get(f"{limb}s")
        in_whole = whole is not None and whole.HasField(field)
        if not in_whole and all(side is not None and side.HasField(field) for side in sides):
            return float(sum(getattr(side, field) for side in sides))
        return self.region(f"{limb}s", field)

    def _value(self, message: Any, field: str, path: str) -> float | None:
        if message is None or not message.HasField(field):
            self.missing.append(path)
            return None
        return float(getattr(message, field))


class _Figure(NamedTuple):
    name: str
    unit: str
    formula: str
    source: str
    compute: Callable[[_Inputs], list[float | None]]
    combine: Callable[[list[float]], float | None]


def _index(values: list[float]) -> float | None:
    """Pounds, and the height in inches as the last of them, as kg/m²."""
    *pounds, height = values
    metres = height * float(M_PER_IN)
    return sum(pounds) * float(KG_PER_LB) / metres**2


def _ratio(values: list[float]) -> float | None:
    return values[0] / values[1] if values[1] else None


_FIGURES = (
    _Figure(
        "fmi",
        _KG_PER_M2,
        "fat mass (kg) / height (m)²",
        "VanItallie et al. 1990, Am J Clin Nutr 52:953",
        lambda inputs: [inputs.scan("total_fat_lbs"), inputs.scan("height_in")],
        _index,
    ),
    _Figure(
        "ffmi",
        _KG_PER_M2,
        "(lean mass + bone mineral content) (kg) / height (m)²",
        "VanItallie et al. 1990, Am J Clin Nutr 52:953",
        lambda inputs: [inputs.scan("total_lean_lbs"), inputs.scan("total_bmc_lbs"), inputs.scan("height_in")],
        _index,
    ),
    _Figure(
        "almi",
        _KG_PER_M2,
        "lean mass of arms and legs (kg) / height (m)²",
        "Baumgartner et al. 1998, Am J Epidemiol 147:755",
        lambda inputs: [inputs.limbs("arm", "lean_lbs"), inputs.limbs("leg", "lean_lbs"), inputs.scan("height_in")],
        _index,
    ),
    _Figure(
        "android_gynoid_ratio",
        "",
        "fat of the android region (%) / fat of the gynoid region (%)",
        "Petak et al. 2013 (ISCD, body composition reporting), J Clin Densitom 16:508",
        lambda inputs: [inputs.region("android", "body_fat_pct"), inputs.region("gynoid", "body_fat_pct")],
        _ratio,
    ),
)


def figures(scan: Any) -> list[pb.DexaFigure]:
    """All figures of a scan with its regions; one that lacks something says what."""
    computed = []
    for figure in _FIGURES:
        inputs = _Inputs(scan)
        values = [value for value in figure.compute(inputs) if value is not None]
        value = None if inputs.missing else figure.combine(values)
        computed.append(
            pb.DexaFigure(
                name=figure.name,
                value=None if value is None else round(value, _DECIMALS),
                unit=figure.unit,
                formula=figure.formula,
                source=figure.source,
                missing=inputs.missing,
            )
        )
    return computed
