"""What results come to over time: trends, what is out of range, two panels side by side."""

from typing import Any

import grpc

from services.kit.database import Database
from services.labs.trends.compare import compare
from services.labs.trends.out_of_range import out_of_range
from services.labs.trends.trend import trend
from vitalis.labs.v1 import trends_pb2 as pb
from vitalis.labs.v1 import trends_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class TrendsServicer(pb_grpc.TrendsServiceServicer):
    def __init__(self, database: Database) -> None:
        self.database = database

    async def GetBiomarkerTrend(
        self, request: pb.GetBiomarkerTrendRequest, context: Context
    ) -> pb.GetBiomarkerTrendResponse:
        """Every result of a biomarker, in one unit (see trend.py)."""
        return pb.GetBiomarkerTrendResponse(trend=await trend(self.database, request))

    async def GetOutOfRangeMarkers(
        self, request: pb.GetOutOfRangeMarkersRequest, context: Context
    ) -> pb.GetOutOfRangeMarkersResponse:
        """The newest result of each marker, where that is out of range."""
        return pb.GetOutOfRangeMarkersResponse(blood_markers=await out_of_range(self.database))

    async def CompareBloodPanels(
        self, request: pb.CompareBloodPanelsRequest, context: Context
    ) -> pb.CompareBloodPanelsResponse:
        """Two panels, marker by marker (see compare.py)."""
        return await compare(self.database, request)
