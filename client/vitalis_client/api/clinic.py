"""What else a clinic knows of a person, scans, tests and visits: a part of `Vitalis.labs`."""

from collections.abc import Sequence

from vitalis_client.api.area import Area, of
from vitalis_client.api.collection import Collection
from vitalis_client.contract import routes
from vitalis_client.contract.models import (
    BloodPanel,
    CompareDexaScansResponse,
    DexaScan,
    DoctorVisit,
    EpigeneticTest,
)
from vitalis_client.http import Http


class Clinic(Area):
    """DEXA scans (in pounds and inches), epigenetic tests and visits to doctors.

    `scans.add({"scan_date": "2026-11-19", "total_body_fat_pct": 22.4})`.
    """

    def __init__(self, http: Http) -> None:
        super().__init__(http)
        self.scans: Collection[DexaScan] = Collection(
            http,
            routes.CREATE_DEXA_SCAN,
            routes.GET_DEXA_SCAN,
            routes.LIST_DEXA_SCANS,
            routes.UPDATE_DEXA_SCAN,
            routes.DELETE_DEXA_SCAN,
            routes.UNDELETE_DEXA_SCAN,
            lambda page: list(page.dexa_scans),
        )
        self.tests: Collection[EpigeneticTest] = Collection(
            http,
            routes.CREATE_EPIGENETIC_TEST,
            routes.GET_EPIGENETIC_TEST,
            routes.LIST_EPIGENETIC_TESTS,
            routes.UPDATE_EPIGENETIC_TEST,
            routes.DELETE_EPIGENETIC_TEST,
            routes.UNDELETE_EPIGENETIC_TEST,
            lambda page: list(page.epigenetic_tests),
        )
        self.visits: Collection[DoctorVisit] = Collection(
            http,
            routes.CREATE_DOCTOR_VISIT,
            routes.GET_DOCTOR_VISIT,
            routes.LIST_DOCTOR_VISITS,
            routes.UPDATE_DOCTOR_VISIT,
            routes.DELETE_DOCTOR_VISIT,
            routes.UNDELETE_DOCTOR_VISIT,
            lambda page: list(page.doctor_visits),
        )

    def compare_scans(self, scan_id: str, earlier_id: str = "", *, person: str = "") -> CompareDexaScansResponse:
        """What a scan and an earlier one both measured, by default the one before it. NOT_FOUND."""
        params = {"earlier_id": earlier_id} if earlier_id else None
        return self._http.get(routes.COMPARE_DEXA_SCANS, params, id=scan_id, **of(person))

    def visit_panels(self, visit_id: str, *, person: str = "") -> list[BloodPanel]:
        """The panels that were ordered at a visit, the newest first. NOT_FOUND."""
        return self._http.get(routes.GET_DOCTOR_VISIT_PANELS, None, id=visit_id, **of(person)).blood_panels

    def set_visit_panels(self, visit_id: str, panels: Sequence[str]) -> list[BloodPanel]:
        """Says which panels were ordered at a visit, in place of those before. NOT_FOUND, PANEL_UNKNOWN."""
        return self._http.post(routes.SET_DOCTOR_VISIT_PANELS, {"panel_ids": list(panels)}, id=visit_id).blood_panels
