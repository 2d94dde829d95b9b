"""Scans and visits, as they were sent."""

from google.protobuf import json_format
from starlette.requests import Request
from starlette.responses import Response

from tests.client.server.base import NOW, USER, Base, Place, bad_query, cut, find, refuse, reply
from vitalis.labs.v1 import body_composition_pb2, panels_pb2, visits_pb2

SCANS = USER + "/dexa-scans"
VISITS = USER + "/doctor-visits"


class Clinic(Base):
    """The fat mass index of every scan is 5.5 kg/m2, and a newer scan has one pound less of everything."""

    def __init__(self) -> None:
        super().__init__()
        self.scans: list[body_composition_pb2.DexaScan] = []
        self.visits: list[visits_pb2.DoctorVisit] = []
        self.ordered: list[panels_pb2.BloodPanel] = []

    def places(self) -> list[Place]:
        return [
            *super().places(),
            ("GET", SCANS, self.list_scans),
            ("POST", SCANS, self.create_scan),
            ("GET", SCANS + "/{id}:compare", self.compare_scans),
            ("POST", SCANS + "/{id}:undelete", self.undelete_scan),
            ("GET", SCANS + "/{id}", self.get_scan),
            ("PATCH", SCANS + "/{id}", self.update_scan),
            ("DELETE", SCANS + "/{id}", self.delete_scan),
            ("GET", VISITS, self.list_visits),
            ("POST", VISITS, self.create_visit),
            ("GET", VISITS + "/{id}/panels", self.get_visit_panels),
            ("POST", VISITS + "/{id}:setPanels", self.set_visit_panels),
            ("GET", VISITS + "/{id}", self.get_visit),
        ]

    def add_scan(self, scan: body_composition_pb2.DexaScan) -> str:
        """The id that a scan is stored under."""
        scan.id = f"01990000-0000-7000-8000-a{len(self.scans):011d}"
        scan.figures.add(name="fmi", value=5.5, unit="kg/m2", formula="total_fat / height^2", source="Kelly 2009")
        scan.figures.add(name="almi", missing=["regions.arms.lean_lbs"])
        stamp(scan)
        self.scans.insert(0, scan)
        return scan.id

    async def list_scans(self, request: Request) -> Response:
        if problem := bad_query(request, body_composition_pb2.ListDexaScansRequest):
            return problem
        rows, token = cut(request, [row for row in self.scans if not row.HasField("deleted_at")])
        return reply(body_composition_pb2.ListDexaScansResponse(dexa_scans=rows, next_page_token=token))

    async def create_scan(self, request: Request) -> Response:
        try:
            scan = json_format.Parse(await request.body(), body_composition_pb2.DexaScan())
        except json_format.ParseError:
            return refuse(400, "INVALID_ARGUMENT", "INVALID_FIELD", "body: is no scan")
        self.add_scan(scan)
        return reply(scan)

    async def get_scan(self, request: Request) -> Response:
        return reply(find(request, self.scans))

    async def update_scan(self, request: Request) -> Response:
        return await self.change(request, find(request, self.scans))

    async def delete_scan(self, request: Request) -> Response:
        find(request, self.scans).deleted_at.FromDatetime(NOW)
        return reply(body_composition_pb2.DeleteDexaScanResponse())

    async def undelete_scan(self, request: Request) -> Response:
        scan = find(request, self.scans)
        scan.ClearField("deleted_at")
        return reply(scan)

    async def compare_scans(self, request: Request) -> Response:
        if problem := bad_query(request, body_composition_pb2.CompareDexaScansRequest):
            return problem
        later = find(request, self.scans)
        answer = body_composition_pb2.CompareDexaScansResponse(later_date=later.scan_date)
        if older := self.scans[self.scans.index(later) + 1 :]:
            answer.earlier_id, answer.earlier_date, answer.days = older[0].id, older[0].scan_date, 365
            answer.changes.add(path="total_fat_lbs", earlier_value=41, later_value=40, change=-1, change_pct=-2.44)
            answer.changes.add(path="bone_densities.spine.t_score", earlier_value=-1, later_value=-0.5, change=0.5)
            answer.cautions.append("different_provider")
        return reply(answer)

    async def list_visits(self, request: Request) -> Response:
        if problem := bad_query(request, visits_pb2.ListDoctorVisitsRequest):
            return problem
        rows, token = cut(request, self.visits)
        return reply(visits_pb2.ListDoctorVisitsResponse(doctor_visits=rows, next_page_token=token))

    async def create_visit(self, request: Request) -> Response:
        visit = json_format.Parse(await request.body(), visits_pb2.DoctorVisit())
        visit.id = f"01990000-0000-7000-8000-b{len(self.visits):011d}"
        stamp(visit)
        self.visits.insert(0, visit)
        return reply(visit)

    async def get_visit(self, request: Request) -> Response:
        return reply(find(request, self.visits))

    async def get_visit_panels(self, request: Request) -> Response:
        return reply(visits_pb2.GetDoctorVisitPanelsResponse(blood_panels=self.ordered))

    async def set_visit_panels(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), visits_pb2.SetDoctorVisitPanelsRequest())
        self.ordered = [panels_pb2.BloodPanel(id=id, collected_date="2026-11-01") for id in body.panel_ids]
        for panel in self.ordered:
            stamp(panel)
        return reply(visits_pb2.SetDoctorVisitPanelsResponse(blood_panels=self.ordered))


def stamp(row: body_composition_pb2.DexaScan | visits_pb2.DoctorVisit | panels_pb2.BloodPanel) -> None:
    row.created_at.FromDatetime(NOW)
    row.updated_at.FromDatetime(NOW)
