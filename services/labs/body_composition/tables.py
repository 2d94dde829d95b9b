"""DEXA scans, their regions and bone densities. Ranges are the proto's; the CHECKs from them are the last line."""

import sqlalchemy as sa

from services.kit.checks import one_of, ranges
from services.kit.database import owned
from services.labs.base import metadata
from services.labs.children import child_columns
from vitalis.labs.v1 import body_composition_pb2 as pb
from vitalis.options.v1 import rules_pb2

dexa_scans = sa.Table(
    "dexa_scans",
    metadata,
    *owned(),
    sa.Column("provider", sa.Text),
    sa.Column("scan_date", sa.Date, nullable=False),
    sa.Column("age_at_scan", sa.Numeric(4, 1)),
    sa.Column("height_in", sa.Numeric(5, 2)),
    sa.Column("weight_lbs", sa.Numeric(6, 2)),
    sa.Column("total_mass_lbs", sa.Numeric(6, 2)),
    sa.Column("total_fat_lbs", sa.Numeric(6, 2)),
    sa.Column("total_lean_lbs", sa.Numeric(6, 2)),
    sa.Column("total_bmc_lbs", sa.Numeric(6, 2)),
    sa.Column("total_body_fat_pct", sa.Numeric(4, 1)),
    sa.Column("visceral_fat_lbs", sa.Numeric(6, 3)),
    sa.Column("visceral_fat_in3", sa.Numeric(7, 2)),
    sa.Column("android_gynoid_ratio", sa.Numeric(4, 2)),
    sa.Column("document_id", sa.Uuid),
    sa.Column("notes", sa.LargeBinary),
    sa.Column("deleted_at", sa.DateTime(timezone=True)),
    sa.PrimaryKeyConstraint("user_id", "id"),
    sa.ForeignKeyConstraint(
        ["user_id", "document_id"], ["documents.user_id", "documents.id"], name="fk_dexa_scans_document"
    ),
    sa.Index(None, "user_id", "scan_date", "id"),
    sa.CheckConstraint("char_length(provider) <= 200", name="provider"),
    *ranges(pb.DexaScan.DESCRIPTOR),
)
dexa_regions = sa.Table(
    "dexa_regions",
    metadata,
    *child_columns("scan_id", "dexa_scans", "region"),
    sa.Column("body_fat_pct", sa.Numeric(4, 1)),
    sa.Column("fat_lbs", sa.Numeric(6, 2)),
    sa.Column("lean_lbs", sa.Numeric(6, 2)),
    sa.Column("bmc_lbs", sa.Numeric(5, 3)),
    sa.Column("total_mass_lbs", sa.Numeric(6, 2)),
    sa.CheckConstraint("num_nonnulls(body_fat_pct, fat_lbs, lean_lbs, bmc_lbs, total_mass_lbs) > 0", name="measured"),
    one_of("region", rules_pb2.dexa_region),
    *ranges(pb.DexaRegion.DESCRIPTOR),
)
dexa_bone_density = sa.Table(
    "dexa_bone_density",
    metadata,
    *child_columns("scan_id", "dexa_scans", "region"),
    sa.Column("bmd_g_cm2", sa.Numeric(6, 3)),
    sa.Column("t_score", sa.Numeric(4, 1)),
    sa.Column("z_score", sa.Numeric(4, 1)),
    sa.CheckConstraint("num_nonnulls(bmd_g_cm2, t_score, z_score) > 0", name="measured"),
    one_of("region", rules_pb2.bone_density_region),
    *ranges(pb.DexaBoneDensity.DESCRIPTOR),
)
