"""Reading the dictionary."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, TypeVar

import grpc

from services.kit.errors import not_found
from services.kit.paging import decode_token, encode_token, page_size, read_position
from services.labs.biomarkers.catalogue import Loinc, Marker, Range, Unit, Variation, catalogue
from services.labs.biomarkers.search import Search
from services.labs.biomarkers.store import id_of
from vitalis.labs.v1 import biomarkers_pb2 as pb
from vitalis.labs.v1 import biomarkers_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[Any, Any]
Item = TypeVar("Item")


class BiomarkersServicer(pb_grpc.BiomarkersServiceServicer):
    def __init__(self) -> None:
        self._dictionary = catalogue()
        self._search = Search(self._dictionary)
        # The same for everybody and for the life of the process.
        self._messages = {marker.slug: self._message(marker) for marker in self._dictionary.markers.values()}
        self._by_id = {message.id: message for message in self._messages.values()}
        counts = Counter(marker.category for marker in self._dictionary.markers.values())
        self._categories = [
            pb.BiomarkerCategory(slug=slug, display_name=category.display_name, biomarker_count=counts[slug])
            for slug, category in self._dictionary.categories.items()
        ]

    async def ListBiomarkers(self, request: pb.ListBiomarkersRequest, context: Context) -> pb.ListBiomarkersResponse:
        """A page in the dictionary's order, or of what a search finds. Raises INVALID_PAGE_TOKEN."""
        candidates = self._search.find(request.search) if request.search else self._dictionary.markers.values()
        found = [
            self._messages[marker.slug]
            for marker in candidates
            if request.category in ("", marker.category) and request.specimen in ("", marker.specimen)
        ]
        page, token = _page(found, request, request.category, request.specimen, request.search)
        return pb.ListBiomarkersResponse(biomarkers=page, next_page_token=token)

    async def GetBiomarker(self, request: pb.GetBiomarkerRequest, context: Context) -> pb.GetBiomarkerResponse:
        """One biomarker. Raises NOT_FOUND."""
        message = self._messages.get(request.id) or self._by_id.get(request.id)
        if message is None:
            raise not_found("biomarker")
        return pb.GetBiomarkerResponse(biomarker=message)

    async def ListBiomarkerCategories(
        self, request: pb.ListBiomarkerCategoriesRequest, context: Context
    ) -> pb.ListBiomarkerCategoriesResponse:
        """A page of the categories, with how many biomarkers each has. Raises INVALID_PAGE_TOKEN."""
        page, token = _page(self._categories, request)
        return pb.ListBiomarkerCategoriesResponse(categories=page, next_page_token=token)

    def _message(self, marker: Marker) -> pb.Biomarker:
        return pb.Biomarker(
            id=str(id_of(marker.slug)),
            slug=marker.slug,
            display_name=marker.display_name,
            category=marker.category,
            sub_panel=marker.sub_panel,
            specimen=marker.specimen,
            description=marker.description,
            notes=marker.notes,
            loinc=_loinc(marker.loinc) if marker.loinc else None,
            other_loincs=map(_loinc, marker.other_loincs),
            canonical_unit=marker.canonical_unit,
            units=map(self._unit, marker.units),
            molar_mass_g_per_mol=_number(marker.molar_mass_g_per_mol),
            aliases=[
                pb.BiomarkerName(language=language, name=name)
                for language, names in marker.aliases.items()
                for name in names
            ],
            normal_ranges=map(self._range, marker.normal),
            optimal_ranges=map(self._range, marker.optimal),
            is_qualitative=marker.is_qualitative,
            sex_specific_ranges=any(stated.sex for stated in (*marker.normal, *marker.optimal)),
            results=marker.results,
            expected_result=marker.expected or None,
            variation=self._variation(marker.variation) if marker.variation else None,
            sort_order=marker.sort_order,
        )

    def _unit(self, unit: Unit) -> pb.BiomarkerUnit:
        return pb.BiomarkerUnit(
            ucum=unit.ucum,
            conversion=unit.conversion,
            factor=_number(unit.factor),
            formula=unit.formula,
            source=self._dictionary.sources[unit.origin] if unit.origin else None,
        )

    def _range(self, stated: Range) -> pb.BiomarkerRange:
        return pb.BiomarkerRange(
            low=_number(stated.low),
            high=_number(stated.high),
            low_included=stated.low is not None and stated.low_belongs,
            high_included=stated.high is not None and stated.high_belongs,
            unit=stated.unit,
            sex=stated.sex,
            age_low_years=_number(stated.age_low_years),
            age_high_years=_number(stated.age_high_years),
            cycle_phase=stated.cycle_phase,
            condition=stated.condition,
            source=self._dictionary.sources[stated.source],
        )

    def _variation(self, variation: Variation) -> pb.BiologicalVariation:
        return pb.BiologicalVariation(
            cvi_pct=float(variation.cvi_pct),
            cva_pct=_number(variation.cva_pct),
            source=self._dictionary.sources[variation.source],
        )


def _page(found: Sequence[Item], request: Any, *bounds: str) -> tuple[Sequence[Item], str]:
    """The page of a list that stands in memory, and the token of the next one. Raises INVALID_PAGE_TOKEN."""
    size = page_size(request.page_size)
    bound_to = (request.DESCRIPTOR.full_name, *bounds)
    start = read_position(int, decode_token(request.page_token, 1, *bound_to)[0]) if request.page_token else 0
    end = start + size
    return found[start:end], encode_token([str(end)], *bound_to) if end < len(found) else ""


def _loinc(term: Loinc) -> pb.LoincTerm:
    return pb.LoincTerm(code=term.code, component=term.component, property=term.property, system=term.system)


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
