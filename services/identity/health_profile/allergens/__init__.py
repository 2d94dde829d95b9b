"""The list of allergens: the same for everybody, read from a file, matched against texts."""

import asyncio
from typing import Any
from uuid import UUID

import grpc

from services.identity.health_profile.allergens.catalogue import CATALOGUE, Allergen
from services.identity.health_profile.allergens.matcher import MATCHER
from services.kit.errors import not_found
from services.kit.paging import decode_token, encode_token, page_size
from vitalis.identity.v1 import allergens_pb2 as pb
from vitalis.identity.v1 import allergens_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class AllergensServicer(pb_grpc.AllergensServiceServicer):
    async def GetAllergen(self, request: pb.GetAllergenRequest, context: Context) -> pb.GetAllergenResponse:
        """One allergen. Raises NOT_FOUND."""
        allergen = CATALOGUE.by_id.get(UUID(request.id))
        if allergen is None:
            raise not_found("allergen")
        return pb.GetAllergenResponse(allergen=_message(allergen))

    async def ListAllergens(self, request: pb.ListAllergensRequest, context: Context) -> pb.ListAllergensResponse:
        """A page of those that are listed, by name. Raises INVALID_PAGE_TOKEN."""
        size = page_size(request.page_size)
        bound_to = (request.DESCRIPTOR.full_name, request.category, request.list)
        after = decode_token(request.page_token, 1, *bound_to)[0] if request.page_token else ""
        found = [
            allergen
            for allergen in CATALOGUE.by_name
            if allergen.is_active
            and allergen.name > after
            and request.category in ("", allergen.category)
            and request.list in ("", *allergen.lists)
        ]
        more = len(found) > size
        return pb.ListAllergensResponse(
            allergens=map(_message, found[:size]),
            next_page_token=encode_token([found[size - 1].name], *bound_to) if more else "",
        )

    async def MatchAllergens(self, request: pb.MatchAllergensRequest, context: Context) -> pb.MatchAllergensResponse:
        """What each of the texts names."""
        # On a thread: the longest texts take as long as hundreds of other requests.
        results = await asyncio.to_thread(lambda: [_matches(text) for text in request.texts])
        return pb.MatchAllergensResponse(results=results)


def _message(allergen: Allergen) -> pb.Allergen:
    values = allergen._asdict()
    return pb.Allergen(**values | {"id": str(allergen.id), "parent_ids": map(str, allergen.parent_ids)})


def _matches(text: str) -> pb.AllergenMatches:
    matches = [
        pb.AllergenMatch(
            allergen_id=str(match.allergen.id),
            name=match.allergen.name,
            kind=match.kind,
            method=match.method,
            confidence=match.confidence,
            words=match.words,
        )
        for match in MATCHER.match(text)
    ]
    return pb.AllergenMatches(text=text, matched=bool(matches), matches=matches)
