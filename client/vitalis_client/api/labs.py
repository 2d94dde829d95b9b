"""What laboratories measured, as Python: `Vitalis.labs`."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from vitalis_client.api.area import of
from vitalis_client.api.clinic import Clinic
from vitalis_client.api.documents import Documents
from vitalis_client.api.lab_imports import LabImports
from vitalis_client.contract import routes
from vitalis_client.contract.models import (
    AddBloodMarkersResponse,
    Biomarker,
    BiomarkerTrend,
    BloodMarker,
    BloodPanel,
    CreateBloodPanelResponse,
    MarkerMatch,
)


class Labs(Clinic, LabImports, Documents):
    """Panels with their markers, what they come to over time, the files that they come from, and scans and visits.

    Methods raise VitalisError, as those of Vitalis do.
    """

    def add_panel(
        self, panel: Mapping[str, Any], markers: Sequence[Mapping[str, Any]], *, override: bool = False
    ) -> CreateBloodPanelResponse:
        """Stores a panel with its markers, each as it is printed.

        `add_panel({"collected_date": "2026-11-01"}, [{"raw_name": "Glucose", "value": "99", "unit": "mg/dL"}])`.
        PANEL_REPEATED and MARKER_REPEATED unless `override` confirms it.
        """
        body = {"blood_panel": dict(panel), "markers": [dict(marker) for marker in markers], "override": override}
        request = {**body, "request_id": str(uuid.uuid4())}
        return self._http.call(routes.CREATE_BLOOD_PANEL, {}, repeat=True, json=request)

    def add_markers(
        self, panel_id: str, markers: Sequence[Mapping[str, Any]], *, override: bool = False
    ) -> AddBloodMarkersResponse:
        """Adds markers to a panel. NOT_FOUND, and MARKER_REPEATED unless `override` lets the panel take the values."""
        body = {"markers": [dict(marker) for marker in markers], "override": override}
        request = {**body, "request_id": str(uuid.uuid4())}
        return self._http.call(routes.ADD_BLOOD_MARKERS, {"id": panel_id}, repeat=True, json=request)

    def panels(
        self, start: date | str = "", end: date | str = "", *, page_size: int = 0, person: str = ""
    ) -> Iterator[BloodPanel]:
        """Panels by the day they were collected on, the newest first."""
        bounds = {"start_date": str(start), "end_date": str(end)}
        return self._http.pages(routes.LIST_BLOOD_PANELS, bounds, lambda page: page.blood_panels, page_size, person)

    def panel(self, panel_id: str, *, person: str = "") -> BloodPanel:
        """One panel, with its notes. NOT_FOUND."""
        return self._http.get(routes.GET_BLOOD_PANEL, None, id=panel_id, **of(person))

    def delete_panel(self, panel_id: str) -> None:
        """Deletes a panel with its markers; `restore_panel` brings them back. NOT_FOUND."""
        self._http.call(routes.DELETE_BLOOD_PANEL, {"id": panel_id}, repeat=False)

    def restore_panel(self, panel_id: str) -> BloodPanel:
        """Brings a deleted panel back with its markers. NOT_FOUND, ALREADY_EXISTS."""
        return self._http.post(routes.UNDELETE_BLOOD_PANEL, {}, id=panel_id)

    def markers(self, *, panel: str = "", biomarker: str = "", person: str = "") -> Iterator[BloodMarker]:
        """Markers, the newest first: all, those of a panel, or of a biomarker by its slug."""
        wanted = {"panel_id": panel, "biomarker": biomarker}
        return self._http.pages(routes.LIST_BLOOD_MARKERS, wanted, lambda page: page.blood_markers, 0, person)

    def delete_marker(self, marker_id: str) -> None:
        """Takes one result out of its panel. NOT_FOUND."""
        self._http.call(routes.DELETE_BLOOD_MARKER, {"id": marker_id}, repeat=False)

    def trend(
        self, biomarker: str, *, unit: str = "", start: date | str = "", end: date | str = "", person: str = ""
    ) -> BiomarkerTrend:
        """Every result of a biomarker, by its slug, across panels and laboratories in one unit. NOT_FOUND."""
        asked = {"unit": unit, "start_date": str(start), "end_date": str(end)}
        params = {name: value for name, value in asked.items() if value}
        return self._http.get(routes.GET_BIOMARKER_TREND, params, biomarker=biomarker, **of(person))

    def out_of_range(self, *, person: str = "") -> list[BloodMarker]:
        """The newest result of each biomarker whose newest result is out of range."""
        return self._http.get(routes.GET_OUT_OF_RANGE_MARKERS, None, **of(person)).blood_markers

    def match(self, names: Sequence[str]) -> list[MarkerMatch]:
        """Which biomarkers printed names stand for; with an empty slug where that is not sure."""
        if not names:
            return []
        return self._http.post(routes.MATCH_MARKERS, {"rows": [{"name": name} for name in names]}).matches

    def biomarker(self, slug: str) -> Biomarker:
        """A marker of the dictionary. NOT_FOUND."""
        return self._http.get(routes.GET_BIOMARKER, None, id=slug)

    def biomarkers(self, *, search: str = "", page_size: int = 0) -> Iterator[Biomarker]:
        """The dictionary, by category and the order in it; or what words find, the best first."""
        return self._http.pages(routes.LIST_BIOMARKERS, {"search": search}, lambda page: page.biomarkers, page_size)
