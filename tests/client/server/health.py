"""The health profile and allergies."""

from google.protobuf import json_format
from starlette.requests import Request
from starlette.responses import Response

from tests.client.server.base import NOW, USER, Base, Place, bad_query, cut, find, refuse, reply
from vitalis.identity.v1 import allergens_pb2, allergies_pb2, health_profile_pb2


class Health(Base):
    """Knows the energy once it knows height and weight, and peanuts by their beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.body = health_profile_pb2.HealthProfile(absent_because=["no_date_of_birth", "no_height"], etag="1")
        self.allergies: list[allergies_pb2.Allergy] = []

    def places(self) -> list[Place]:
        return [
            *super().places(),
            ("POST", "/api/v1/allergens:match", self.match_allergens),
            ("GET", USER + "/health-profile", self.get_health),
            ("PATCH", USER + "/health-profile", self.update_health),
            ("GET", USER + "/allergies", self.list_allergies),
            ("POST", USER + "/allergies", self.create_allergy),
            ("PATCH", USER + "/allergies/{id}", self.update_allergy),
            ("DELETE", USER + "/allergies/{id}", self.delete_allergy),
            ("POST", USER + "/allergies/{id}:undelete", self.undelete_allergy),
        ]

    async def get_health(self, request: Request) -> Response:
        return reply(self.body)

    async def update_health(self, request: Request) -> Response:
        if problem := bad_query(request, health_profile_pb2.UpdateHealthProfileRequest):
            return problem
        await self.change(request, self.body)
        if self.body.height_cm and self.body.weight_kg:
            self.body.bmr_kcal, self.body.bmr_source = 1600, "Mifflin-St Jeor (1990)"
            del self.body.absent_because[:]
        return reply(self.body)

    async def list_allergies(self, request: Request) -> Response:
        if problem := bad_query(request, allergies_pb2.ListAllergiesRequest):
            return problem
        rows, token = cut(request, [row for row in self.allergies if not row.HasField("deleted_at")])
        return reply(allergies_pb2.ListAllergiesResponse(allergies=rows, next_page_token=token))

    async def create_allergy(self, request: Request) -> Response:
        made = json_format.Parse(await request.body(), allergies_pb2.Allergy())
        if made.name in [allergy.name for allergy in self.allergies]:
            return refuse(409, "ALREADY_EXISTS", "ALREADY_EXISTS", "there is one already")
        made.id, made.source = f"01990000-0000-7000-8000-4{len(self.allergies):011d}", "stated"
        if made.name in ("peanuts", "peenuts"):
            made.matched, made.matched_allergen = True, "Peanuts"
            made.match_confidence = 1.0 if made.name == "peanuts" else 0.92
        for name in ("created_at", "updated_at"):
            getattr(made, name).FromDatetime(NOW)
        self.allergies.append(made)
        return reply(made)

    async def update_allergy(self, request: Request) -> Response:
        return await self.change(request, find(request, self.allergies))

    async def delete_allergy(self, request: Request) -> Response:
        find(request, self.allergies).deleted_at.FromDatetime(NOW)
        return reply(allergies_pb2.DeleteAllergyResponse())

    async def undelete_allergy(self, request: Request) -> Response:
        stored = find(request, self.allergies)
        stored.ClearField("deleted_at")
        return reply(stored)

    async def match_allergens(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), allergens_pb2.MatchAllergensRequest())
        answer = allergens_pb2.MatchAllergensResponse()
        for text in body.texts:
            result = answer.results.add(text=text, matched="peanuts" in text)
            if result.matched:
                result.matches.add(name="Peanuts", kind="may_contain", method="exact", confidence=1, words="peanuts")
        return reply(answer)
