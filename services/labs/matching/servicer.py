"""Units converted and names matched, for people: nothing is stored."""

from decimal import Decimal
from typing import Any

import grpc

from services.kit.database import Database
from services.kit.errors import Violation, all_wrong, invalid
from services.labs.biomarkers.aliases import known_aliases
from services.labs.biomarkers.catalogue import catalogue
from services.labs.matching.index import Match, Row, marker_index
from services.labs.units import UnitRefused, rounded, units_of
from vitalis.labs.v1 import matching_pb2 as pb
from vitalis.labs.v1 import matching_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class MatchingServicer(pb_grpc.MatchingServiceServicer):
    def __init__(self, database: Database) -> None:
        self.database = database
        # Built before the first request, which would wait for it.
        marker_index()

    async def ConvertUnit(self, request: pb.ConvertUnitRequest, context: Context) -> pb.ConvertUnitResponse:
        """Errors: INVALID_FIELD for no marker, UNIT_NOT_ACCEPTED with every unit that is not."""
        if catalogue().of(request.biomarker) is None:
            raise invalid("biomarker", "is not in the dictionary")
        units = units_of(request.biomarker)
        target = request.to_unit or units.canonical
        read, violations = {}, []
        for field, printed in (("from_unit", request.from_unit), ("to_unit", target)):
            try:
                read[field] = units.read(printed).ucum
            except UnitRefused as refused:
                violations.append(Violation(field, str(refused)))
        if violations:
            raise all_wrong("UNIT_NOT_ACCEPTED", violations)
        value = units.convert(Decimal(repr(request.value)), request.from_unit, target)
        return pb.ConvertUnitResponse(value=float(rounded(value)), unit=read["to_unit"], from_unit=read["from_unit"])

    async def MatchMarkers(self, request: pb.MatchMarkersRequest, context: Context) -> pb.MatchMarkersResponse:
        rows = [Row(row.name, row.unit, row.specimen, row.section, row.loinc) for row in request.rows]
        own = await known_aliases(self.database)
        return pb.MatchMarkersResponse(matches=map(_match, marker_index().match_many(rows, own)))


def _match(match: Match) -> pb.MarkerMatch:
    return pb.MarkerMatch(
        slug=match.slug or "",
        confidence=match.confidence,
        method=match.how,
        candidates=[
            pb.MarkerCandidate(slug=candidate.slug, confidence=candidate.confidence, method=candidate.how)
            for candidate in match.candidates
        ],
    )
