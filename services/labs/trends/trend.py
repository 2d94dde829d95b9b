"""The trend of a biomarker: every result, whatever laboratory and unit it came in, in one unit.

A censored result (`<0.1`) is a point, and no part of the line or the change:
its true value is not known.
"""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import NamedTuple

import sqlalchemy as sa
from google.protobuf.timestamp_pb2 import Timestamp

from services.kit.caller import current
from services.kit.database import Database, Statement
from services.kit.errors import ServiceError, invalid, not_found
from services.labs.biomarkers.catalogue import Marker, catalogue
from services.labs.biomarkers.catalogue import Range as Interval
from services.labs.panels.tables import blood_markers, blood_panels
from services.labs.trends.change import change_of
from services.labs.trends.statistics import least_squares
from services.labs.units import MarkerUnits, UnitRefused, units_of
from vitalis.labs.v1 import trends_pb2 as pb

# Daily results for as long as anybody has been measured.
_MOST = 5000


class _Row(NamedTuple):
    """One result and what its panel says."""

    marker_id: str
    panel_id: str
    collected_date: date
    collected_at: int | None
    lab_name: str | None
    fasting: bool | None
    sex: str | None
    age_years: int | None
    cycle_phase: str | None
    comparator: str
    value: str
    value_text: str | None
    unit: str | None
    canonical: Decimal | None
    low: Decimal | None
    high: Decimal | None
    ref_range_text: str | None
    flag: str | None
    own_flag: str | None
    in_range: bool | None


def _select() -> Statement:
    marker, panel = blood_markers.c, blood_panels.c
    first, last = (sa.cast(sa.bindparam(name, type_=sa.Text), sa.Date) for name in ("start_date", "end_date"))
    microseconds = sa.cast(sa.extract("epoch", panel.collected_at) * sa.literal_column("1000000"), sa.BigInteger)
    return Statement(
        sa.select(
            sa.cast(marker.id, sa.Text),
            sa.cast(marker.panel_id, sa.Text),
            marker.collected_date,
            microseconds,
            panel.lab_name,
            panel.fasting,
            panel.sex,
            panel.age_years,
            panel.cycle_phase,
            marker.comparator,
            marker.value,
            marker.value_text,
            marker.unit,
            marker.value_canonical,
            marker.ref_range_low,
            marker.ref_range_high,
            marker.ref_range_text,
            marker.flag,
            marker.own_flag,
            marker.in_range,
        )
        .join_from(blood_markers, blood_panels, (panel.user_id == marker.user_id) & (panel.id == marker.panel_id))
        .where(
            marker.user_id == sa.bindparam("user_id", type_=sa.Uuid(as_uuid=False)),
            marker.biomarker == sa.bindparam("biomarker", type_=sa.Text),
            marker.deleted_at.is_(None),
            marker.collected_date.between(first, last),
        )
        .order_by(marker.collected_date.desc(), marker.id.desc())
        .limit(_MOST)
    )


TREND = _select()


async def trend(database: Database, request: pb.GetBiomarkerTrendRequest) -> pb.BiomarkerTrend:
    """The trend that was asked for. Raises NOT_FOUND without any result, INVALID_FIELD for what is no unit of it."""
    marker = catalogue().of(request.biomarker)
    if marker is None:
        raise not_found("biomarker")
    unit = _unit_of(marker, request.unit)
    parameters = {
        "user_id": current().subject,
        "biomarker": marker.slug,
        "start_date": request.start_date or "-infinity",
        "end_date": request.end_date or "infinity",
    }
    rows = sorted(map(_Row._make, await database.fetch(TREND, parameters)), key=_when)
    if not rows:
        raise ServiceError("NOT_FOUND", "there is no result of this biomarker yet")
    view = _View(marker, unit)
    answer = pb.BiomarkerTrend(biomarker=marker.slug, display_name=marker.display_name, unit=unit)
    answer.points.extend(view.point(row) for row in rows)
    # The newest is what a person wants to be compared with others by.
    newest = rows[-1]
    sex, phase = request.sex or newest.sex, request.cycle_phase or newest.cycle_phase
    answer.reference_intervals.extend(view.intervals(sex, newest.age_years, phase))
    exact = [
        (row.collected_date.toordinal(), view.shown(row.canonical), float(row.canonical))
        for row in rows
        if row.canonical is not None and not row.comparator
    ]
    if line := least_squares([(day, value) for day, value, _ in exact]):
        answer.slope.per_year = line.per_year
        answer.slope.standard_error_per_year = line.standard_error
        answer.slope.results = line.points
    if len(exact) > 1 and (change := change_of(marker, exact[-2][2], exact[-1][2])):
        answer.change.CopyFrom(change)
    return answer


def _when(row: _Row) -> tuple[date, int, str]:
    return row.collected_date, row.collected_at or 0, row.marker_id


def _unit_of(marker: Marker, printed: str) -> str:
    """The UCUM code of the unit wanted; "" for a qualitative biomarker. Raises INVALID_FIELD."""
    if marker.is_qualitative:
        return ""
    if not printed:
        return marker.canonical_unit
    try:
        return units_of(marker.slug).read(printed).ucum
    except UnitRefused as error:
        raise invalid("unit", f"is none of this biomarker's units: {', '.join(error.accepted)}") from None


class _View:
    """Numbers of a biomarker in the unit that is wanted."""

    def __init__(self, marker: Marker, unit: str) -> None:
        self._marker = marker
        self._unit = unit
        self._units: MarkerUnits | None = None if marker.is_qualitative else units_of(marker.slug)

    def shown(self, canonical: Decimal) -> float:
        """A canonical number in the unit wanted."""
        assert self._units
        return float(self._units.convert(canonical, self._marker.canonical_unit, self._unit))

    def _from(self, value: Decimal | None, unit: str) -> float | None:
        if value is None or self._units is None:
            return None
        try:
            return float(self._units.convert(value, unit, self._unit))
        except UnitRefused:
            # A word has been printed with a unit, or none, that a number could not have.
            return None

    def point(self, row: _Row) -> pb.TrendPoint:
        at = row.collected_at
        return pb.TrendPoint(
            marker_id=row.marker_id,
            panel_id=row.panel_id,
            collected_date=row.collected_date.isoformat(),
            collected_at=None if at is None else Timestamp(seconds=at // 1_000_000, nanos=at % 1_000_000 * 1000),
            lab_name=row.lab_name,
            fasting=row.fasting,
            comparator=row.comparator,
            value=None if row.canonical is None else self.shown(row.canonical),
            value_text=row.value_text,
            printed_value=row.value,
            printed_unit=row.unit,
            ref_range_low=self._from(row.low, row.unit or ""),
            ref_range_high=self._from(row.high, row.unit or ""),
            ref_range_text=row.ref_range_text,
            flag=row.flag,
            own_flag=row.own_flag,
            in_range=row.in_range,
        )

    def intervals(self, sex: str | None, age_years: int | None, phase: str | None) -> Iterator[pb.ReferenceInterval]:
        """The dictionary's intervals that can be this person's."""
        for kind, intervals in (("normal", self._marker.normal), ("optimal", self._marker.optimal)):
            for interval in intervals:
                if interval.covers(sex=sex, age_years=age_years, cycle_phase=phase):
                    yield self._interval(kind, interval)

    def _interval(self, kind: str, interval: Interval) -> pb.ReferenceInterval:
        return pb.ReferenceInterval(
            kind=kind,
            low=self._from(interval.low, interval.unit),
            high=self._from(interval.high, interval.unit),
            sex=interval.sex,
            cycle_phase=interval.cycle_phase,
            condition=interval.condition,
            source=interval.source,
            specimen=self._marker.specimen,
        )
