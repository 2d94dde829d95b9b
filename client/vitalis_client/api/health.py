"""The health profile and what a person does not tolerate, as Python: `Vitalis.health`."""

from collections.abc import Iterator, Sequence
from typing import Any

from vitalis_client.api.area import Area, of
from vitalis_client.contract import routes
from vitalis_client.contract.models import AllergenMatches, Allergy, HealthProfile


class Health(Area):
    """The body and the energy that it needs, and allergies.

    Writing takes a verified address: EMAIL_UNVERIFIED. Methods raise
    VitalisError, as those of Vitalis do.
    """

    def profile(self, *, person: str = "") -> HealthProfile:
        """Height, weight, activity, and the energy that follows from them; empty at first."""
        return self._http.get(routes.GET_HEALTH_PROFILE, None, **of(person))

    def update_profile(self, *, clear: Sequence[str] = (), **values: Any) -> HealthProfile:
        """Changes fields: `update_profile(height_cm=178, weight_kg=70.5, activity_level="moderate")`."""
        return self._http.patch(routes.UPDATE_HEALTH_PROFILE, values, clear)

    def allergies(self, *, person: str = "") -> Iterator[Allergy]:
        """The allergies, matched to the list of allergens or not."""
        return self._http.pages(routes.LIST_ALLERGIES, {}, lambda page: page.allergies, 0, person)

    def add_allergy(self, name: str, severity: str, **values: Any) -> Allergy:
        """Adds an allergy: `add_allergy("peanuts", "SEVERE", diagnosed_date="2019-04-02")`. ALREADY_EXISTS."""
        return self._http.post(routes.CREATE_ALLERGY, {"name": name, "severity": severity, **values})

    def update_allergy(self, allergy_id: str, *, clear: Sequence[str] = (), **values: Any) -> Allergy:
        """Changes fields of an allergy: `update_allergy(id, severity="MILD")`. NOT_FOUND."""
        return self._http.patch(routes.UPDATE_ALLERGY, values, clear, id=allergy_id)

    def delete_allergy(self, allergy_id: str) -> None:
        """Takes an allergy out. NOT_FOUND."""
        self._http.call(routes.DELETE_ALLERGY, {"id": allergy_id}, repeat=False)

    def undelete_allergy(self, allergy_id: str) -> Allergy:
        """Brings an allergy back that was taken out. NOT_FOUND, ALREADY_EXISTS."""
        return self._http.post(routes.UNDELETE_ALLERGY, {}, id=allergy_id)

    def match_allergens(self, texts: Sequence[str]) -> list[AllergenMatches]:
        """Which allergens texts name, such as what is printed on food: one answer a text."""
        return self._http.post(routes.MATCH_ALLERGENS, {"texts": list(texts)}).results
