"""Lab panels: markers as they were sent, and trends of glucose."""

from google.protobuf import json_format
from starlette.requests import Request
from starlette.responses import Response

from tests.client.server.base import NOW, USER, Base, Place, bad_query, between, cut, find, refuse, reply
from vitalis.labs.v1 import biomarkers_pb2, matching_pb2, panels_pb2, trends_pb2

PANELS = USER + "/blood-panels"
# The dictionary, in its order.
KNOWN = ("Sodium", "Glucose", "Albumin")


class Labs(Base):
    """Knows that glucose of 100 and more is high; a panel of a day that there is one of is repeated."""

    def __init__(self) -> None:
        super().__init__()
        self.panels: list[panels_pb2.BloodPanel] = []
        self.deleted: list[panels_pb2.BloodPanel] = []
        self.markers: list[panels_pb2.BloodMarker] = []
        self.trend = trends_pb2.BiomarkerTrend(biomarker="glucose", display_name="Glucose", unit="mg/dL")

    def places(self) -> list[Place]:
        return [
            *super().places(),
            ("POST", PANELS, self.create_panel),
            ("GET", PANELS, self.list_panels),
            ("GET", PANELS + "/{id}", self.get_panel),
            ("DELETE", PANELS + "/{id}", self.delete_panel),
            ("POST", PANELS + "/{id}:undelete", self.undelete_panel),
            ("POST", PANELS + "/{id}:addMarkers", self.add_markers),
            ("DELETE", USER + "/blood-markers/{id}", self.delete_marker),
            ("GET", "/api/v1/biomarkers", self.list_biomarkers),
            ("GET", "/api/v1/biomarkers/{id}", self.get_biomarker),
            ("GET", USER + "/blood-markers", self.list_markers),
            ("GET", USER + "/blood-markers:outOfRange", self.out_of_range),
            ("GET", USER + "/biomarkers/{biomarker}/trend", self.get_trend),
            ("POST", USER + "/report-rows:match", self.match_markers),
        ]

    async def create_panel(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), panels_pb2.CreateBloodPanelRequest())
        panel = body.blood_panel
        if not body.override and panel.collected_date in [one.collected_date for one in self.panels]:
            return refuse(409, "ALREADY_EXISTS", "PANEL_REPEATED", "there is a panel of that day already")
        self.add_panel(panel, list(body.markers))
        return reply(panels_pb2.CreateBloodPanelResponse(blood_panel=panel, markers=self.markers[-len(body.markers) :]))

    def add_panel(self, panel: panels_pb2.BloodPanel, markers: list[panels_pb2.BloodMarker]) -> str:
        """The id that a panel is stored under."""
        panel.id = f"01990000-0000-7000-8000-5{len(self.panels):011d}"
        self._stamp_times(panel)
        self.panels.insert(0, panel)
        self._add(panel, markers)
        return panel.id

    def _add(self, panel: panels_pb2.BloodPanel, markers: list[panels_pb2.BloodMarker]) -> None:
        for marker in markers:
            marker.id, marker.panel_id = f"01990000-0000-7000-8000-6{len(self.markers):011d}", panel.id
            marker.collected_date = panel.collected_date
            if marker.raw_name in KNOWN:
                marker.biomarker = marker.raw_name.lower()
            if marker.raw_name == "Glucose" and marker.value.isdigit():
                marker.in_range = float(marker.value) < 100
                marker.own_flag = "" if marker.in_range else "H"
            self._stamp_times(marker)
            self.markers.append(marker)

    async def add_markers(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), panels_pb2.AddBloodMarkersRequest())
        panel = find(request, self.panels)
        there = [marker.raw_name for marker in self.markers if marker.panel_id == panel.id]
        twice = [at for at, marker in enumerate(body.markers) if marker.raw_name in there]
        if twice and not body.override:
            fields = {f"markers[{at}]": "is in the panel already" for at in twice}
            return refuse(409, "ALREADY_EXISTS", "MARKER_REPEATED", "send override if the last one counts", fields)
        sent = [marker.raw_name for marker in body.markers]
        self.markers = [row for row in self.markers if row.panel_id != panel.id or row.raw_name not in sent]
        self._add(panel, list(body.markers))
        return reply(panels_pb2.AddBloodMarkersResponse(markers=self.markers[-len(body.markers) :]))

    async def get_panel(self, request: Request) -> Response:
        panel = next((row for row in self.panels if row.id == request.path_params["id"]), None)
        return reply(panel) if panel else refuse(404, "NOT_FOUND", "NOT_FOUND", "there is no such panel")

    async def delete_panel(self, request: Request) -> Response:
        self.deleted.append(find(request, self.panels))
        self.panels.remove(self.deleted[-1])
        return reply(panels_pb2.DeleteBloodPanelResponse())

    async def undelete_panel(self, request: Request) -> Response:
        self.panels.append(find(request, self.deleted))
        return reply(self.panels[-1])

    async def list_biomarkers(self, request: Request) -> Response:
        if problem := bad_query(request, biomarkers_pb2.ListBiomarkersRequest):
            return problem
        begun = [name.lower() for name in KNOWN if name.lower().startswith(request.query_params.get("search", ""))]
        rows, token = cut(request, [biomarkers_pb2.Biomarker(slug=slug) for slug in begun])
        return reply(biomarkers_pb2.ListBiomarkersResponse(biomarkers=rows, next_page_token=token))

    async def get_biomarker(self, request: Request) -> Response:
        if request.path_params["id"].capitalize() not in KNOWN:
            return refuse(404, "NOT_FOUND", "NOT_FOUND", "there is no such biomarker")
        units = [biomarkers_pb2.BiomarkerUnit(ucum=ucum) for ucum in ("mg/dL", "m[IU]/L")]
        return reply(biomarkers_pb2.Biomarker(slug=request.path_params["id"], units=units))

    async def delete_marker(self, request: Request) -> Response:
        self.markers.remove(find(request, self.markers))
        return reply(panels_pb2.DeleteBloodMarkerResponse())

    def _stamp_times(self, row: panels_pb2.BloodPanel | panels_pb2.BloodMarker) -> None:
        row.created_at.FromDatetime(NOW)
        row.updated_at.FromDatetime(NOW)

    async def list_panels(self, request: Request) -> Response:
        if problem := bad_query(request, panels_pb2.ListBloodPanelsRequest):
            return problem
        rows, token = cut(request, between(request, self.panels, "collected_date"))
        return reply(panels_pb2.ListBloodPanelsResponse(blood_panels=rows, next_page_token=token))

    async def list_markers(self, request: Request) -> Response:
        if problem := bad_query(request, panels_pb2.ListBloodMarkersRequest):
            return problem
        panel, biomarker = (request.query_params.get(name, "") for name in ("panel_id", "biomarker"))
        wanted = [row for row in self.markers if panel in ("", row.panel_id) and biomarker in ("", row.biomarker)]
        rows, token = cut(request, wanted)
        return reply(panels_pb2.ListBloodMarkersResponse(blood_markers=rows, next_page_token=token))

    async def out_of_range(self, request: Request) -> Response:
        if problem := bad_query(request, trends_pb2.GetOutOfRangeMarkersRequest):
            return problem
        rows = [row for row in self.markers if row.own_flag]
        return reply(trends_pb2.GetOutOfRangeMarkersResponse(blood_markers=rows))

    async def get_trend(self, request: Request) -> Response:
        if problem := bad_query(request, trends_pb2.GetBiomarkerTrendRequest):
            return problem
        if request.path_params["biomarker"] != "glucose":
            return refuse(404, "NOT_FOUND", "NOT_FOUND", "there is no such biomarker")
        return reply(self.trend)

    async def match_markers(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), matching_pb2.MatchMarkersRequest())
        answer = matching_pb2.MatchMarkersResponse()
        for row in body.rows:
            match = answer.matches.add()
            if row.name in ("Blood Sugar", "sugar_level"):
                match.slug, match.confidence = "glucose", 1
            elif row.name == "Sugar":
                for slug in ("glucose", "lactose"):
                    match.candidates.add(slug=slug, confidence=0.6)
        return reply(answer)
