"""Lab panels: markers as they were sent, and trends of glucose."""

from google.protobuf import json_format
from starlette.requests import Request
from starlette.responses import Response

from tests.client.server.base import NOW, USER, Base, Place, bad_query, between, cut, refuse, reply
from vitalis.labs.v1 import matching_pb2, panels_pb2, trends_pb2

PANELS = USER + "/blood-panels"


class Labs(Base):
    """Knows glucose by its name, and that 100 and more is high; a panel of a day that there is one of is repeated."""

    def __init__(self) -> None:
        super().__init__()
        self.panels: list[panels_pb2.BloodPanel] = []
        self.markers: list[panels_pb2.BloodMarker] = []
        self.trend = trends_pb2.BiomarkerTrend(biomarker="glucose", display_name="Glucose", unit="mg/dL")

    def places(self) -> list[Place]:
        return [
            *super().places(),
            ("POST", PANELS, self.create_panel),
            ("GET", PANELS, self.list_panels),
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
        panel.id = f"01990000-0000-7000-8000-5{len(self.panels):011d}"
        self._stamp_times(panel)
        self.panels.insert(0, panel)
        for marker in body.markers:
            marker.id, marker.panel_id = f"01990000-0000-7000-8000-6{len(self.markers):011d}", panel.id
            marker.collected_date = panel.collected_date
            if marker.raw_name == "Glucose":
                marker.biomarker, marker.in_range = "glucose", float(marker.value) < 100
                marker.own_flag = "" if marker.in_range else "H"
            self._stamp_times(marker)
            self.markers.append(marker)
        return reply(panels_pb2.CreateBloodPanelResponse(blood_panel=panel, markers=body.markers))

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
