"""Body composition and bone density by DEXA."""

from typing import Any

import grpc
import sqlalchemy as sa

from services.kit.caller import current
from services.kit.database import Database, Statement
from services.kit.resources import create, delete, get, list_, undelete, update
from services.labs.base import IDEMPOTENCY_KEYS
from services.labs.body_composition.compare import compare
from services.labs.body_composition.figures import figures
from services.labs.body_composition.tables import dexa_bone_density, dexa_regions, dexa_scans
from services.labs.children import Children, ParentResource
from vitalis.labs.v1 import body_composition_pb2 as pb
from vitalis.labs.v1 import body_composition_pb2_grpc as pb_grpc
from vitalis.options.v1 import rules_pb2

Context = grpc.aio.ServicerContext[Any, Any]


class DexaScans(ParentResource):
    """Scans, with the figures that follow from them."""

    def complete(self, message: pb.DexaScan) -> None:
        message.figures.extend(figures(message))


SCANS = DexaScans(
    pb.DexaScan,
    dexa_scans,
    (
        Children("regions", pb.DexaRegion, dexa_regions, parent="scan_id", key="region", rule=rules_pb2.dexa_region),
        Children(
            "bone_densities",
            pb.DexaBoneDensity,
            dexa_bone_density,
            parent="scan_id",
            key="region",
            rule=rules_pb2.bone_density_region,
        ),
    ),
    computed=("figures",),
    what="scan",
    order_by=("scan_date", "id"),
    date_column="scan_date",
    heavy=("notes",),
    encrypted=("notes",),
    idempotency_keys=IDEMPOTENCY_KEYS,
)
_EARLIER = sa.tuple_(dexa_scans.c.scan_date, dexa_scans.c.id) < sa.tuple_(
    sa.bindparam("scan_date", type_=sa.Date), sa.bindparam("id", type_=sa.Uuid(as_uuid=False))
)
BEFORE = Statement(
    sa.select(sa.cast(dexa_scans.c.id, sa.Text))
    .where(
        dexa_scans.c.user_id == sa.bindparam("user_id", type_=sa.Uuid(as_uuid=False)),
        dexa_scans.c.deleted_at.is_(None),
        _EARLIER,
    )
    .order_by(dexa_scans.c.scan_date.desc(), dexa_scans.c.id.desc())
    .limit(sa.literal_column("1"))
)


class BodyCompositionServicer(pb_grpc.BodyCompositionServiceServicer):
    def __init__(self, database: Database) -> None:
        self.database = database

    CreateDexaScan = create(SCANS)
    GetDexaScan = get(SCANS)
    ListDexaScans = list_(SCANS)
    UpdateDexaScan = update(SCANS)
    DeleteDexaScan = delete(SCANS)
    UndeleteDexaScan = undelete(SCANS)

    async def CompareDexaScans(
        self, request: pb.CompareDexaScansRequest, context: Context
    ) -> pb.CompareDexaScansResponse:
        """What both scans measured. Errors: NOT_FOUND, for a deleted scan too."""
        later: pb.DexaScan = await SCANS.living(self.database, request.id)
        earlier_id = request.earlier_id or await self._before(later)
        if not earlier_id:
            return pb.CompareDexaScansResponse(later_date=later.scan_date)
        return compare(await SCANS.living(self.database, earlier_id), later)

    async def _before(self, scan: pb.DexaScan) -> str:
        """The id of the last scan before this one; "" if there is none."""
        parameters = {"user_id": current().subject, "scan_date": scan.scan_date, "id": scan.id}
        return next((str(scan_id) for (scan_id,) in await self.database.fetch(BEFORE, parameters)), "")
