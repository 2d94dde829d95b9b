"""DEXA scans, their regions and bone densities."""

import sqlalchemy as sa
from alembic import op

from services.kit.audit_schema import audit_table
from services.kit.migrate import protect

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "dexa_scans",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
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
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_dexa_scans")),
        sa.CheckConstraint("char_length(provider) <= 200", name=op.f("ck_dexa_scans_provider")),
        sa.CheckConstraint("age_at_scan BETWEEN 0 AND 150", name=op.f("ck_dexa_scans_age_at_scan")),
        sa.CheckConstraint("height_in BETWEEN 20 AND 110", name=op.f("ck_dexa_scans_height_in")),
        sa.CheckConstraint("weight_lbs BETWEEN 2 AND 1500", name=op.f("ck_dexa_scans_weight_lbs")),
        sa.CheckConstraint("total_mass_lbs BETWEEN 2 AND 1500", name=op.f("ck_dexa_scans_total_mass_lbs")),
        sa.CheckConstraint("total_fat_lbs BETWEEN 0 AND 1500", name=op.f("ck_dexa_scans_total_fat_lbs")),
        sa.CheckConstraint("total_lean_lbs BETWEEN 0 AND 1500", name=op.f("ck_dexa_scans_total_lean_lbs")),
        sa.CheckConstraint("total_bmc_lbs BETWEEN 0 AND 100", name=op.f("ck_dexa_scans_total_bmc_lbs")),
        sa.CheckConstraint("total_body_fat_pct BETWEEN 1 AND 80", name=op.f("ck_dexa_scans_total_body_fat_pct")),
        sa.CheckConstraint("visceral_fat_lbs BETWEEN 0 AND 100", name=op.f("ck_dexa_scans_visceral_fat_lbs")),
        sa.CheckConstraint("visceral_fat_in3 BETWEEN 0 AND 10000", name=op.f("ck_dexa_scans_visceral_fat_in3")),
        sa.CheckConstraint("android_gynoid_ratio BETWEEN 0 AND 10", name=op.f("ck_dexa_scans_android_gynoid_ratio")),
    )
    op.create_index(op.f("ix_dexa_scans_user_id_scan_date_id"), "dexa_scans", ["user_id", "scan_date", "id"])
    op.create_table(
        "dexa_regions",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("scan_id", sa.Uuid, nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("body_fat_pct", sa.Numeric(4, 1)),
        sa.Column("fat_lbs", sa.Numeric(6, 2)),
        sa.Column("lean_lbs", sa.Numeric(6, 2)),
        sa.Column("bmc_lbs", sa.Numeric(5, 3)),
        sa.Column("total_mass_lbs", sa.Numeric(6, 2)),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_dexa_regions")),
        sa.UniqueConstraint("user_id", "scan_id", "region", name=op.f("uq_dexa_regions_user_id_scan_id_region")),
        sa.ForeignKeyConstraint(
            ["user_id", "scan_id"],
            ["dexa_scans.user_id", "dexa_scans.id"],
            name=op.f("fk_dexa_regions_user_id_scan_id_dexa_scans"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint(
            "num_nonnulls(body_fat_pct, fat_lbs, lean_lbs, bmc_lbs, total_mass_lbs) > 0",
            name=op.f("ck_dexa_regions_measured"),
        ),
        sa.CheckConstraint(
            "region IN ('total', 'subtotal', 'head', 'arms', 'arm_right', 'arm_left', 'legs', "
            "'leg_right', 'leg_left', 'trunk', 'android', 'gynoid')",
            name=op.f("ck_dexa_regions_region"),
        ),
        sa.CheckConstraint("body_fat_pct BETWEEN 1 AND 80", name=op.f("ck_dexa_regions_body_fat_pct")),
        sa.CheckConstraint("fat_lbs BETWEEN 0 AND 1500", name=op.f("ck_dexa_regions_fat_lbs")),
        sa.CheckConstraint("lean_lbs BETWEEN 0 AND 1500", name=op.f("ck_dexa_regions_lean_lbs")),
        sa.CheckConstraint("bmc_lbs BETWEEN 0 AND 99", name=op.f("ck_dexa_regions_bmc_lbs")),
        sa.CheckConstraint("total_mass_lbs BETWEEN 0 AND 1500", name=op.f("ck_dexa_regions_total_mass_lbs")),
    )
    op.create_table(
        "dexa_bone_density",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("scan_id", sa.Uuid, nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("bmd_g_cm2", sa.Numeric(6, 3)),
        sa.Column("t_score", sa.Numeric(4, 1)),
        sa.Column("z_score", sa.Numeric(4, 1)),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_dexa_bone_density")),
        sa.UniqueConstraint("user_id", "scan_id", "region", name=op.f("uq_dexa_bone_density_user_id_scan_id_region")),
        sa.ForeignKeyConstraint(
            ["user_id", "scan_id"],
            ["dexa_scans.user_id", "dexa_scans.id"],
            name=op.f("fk_dexa_bone_density_user_id_scan_id_dexa_scans"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("num_nonnulls(bmd_g_cm2, t_score, z_score) > 0", name=op.f("ck_dexa_bone_density_measured")),
        sa.CheckConstraint(
            "region IN ('total', 'head', 'arms', 'arm_right', 'arm_left', 'legs', 'leg_right', "
            "'leg_left', 'trunk', 'ribs', 'pelvis', 'spine', 'thoracic_spine', 'lumbar_spine', 'l1', "
            "'l2', 'l3', 'l4', 'l1_l4', 'hip_right', 'hip_left', 'femoral_neck_right', "
            "'femoral_neck_left', 'trochanter_right', 'trochanter_left', 'forearm', 'radius_33')",
            name=op.f("ck_dexa_bone_density_region"),
        ),
        sa.CheckConstraint("bmd_g_cm2 BETWEEN 0 AND 5", name=op.f("ck_dexa_bone_density_bmd_g_cm2")),
        sa.CheckConstraint("t_score BETWEEN -20 AND 20", name=op.f("ck_dexa_bone_density_t_score")),
        sa.CheckConstraint("z_score BETWEEN -20 AND 20", name=op.f("ck_dexa_bone_density_z_score")),
    )
    protect("dexa_scans", verbs="SELECT, INSERT, UPDATE")
    protect("dexa_regions")
    protect("dexa_bone_density")
    audit_table("dexa_scans")
    audit_table("dexa_regions")
    audit_table("dexa_bone_density")


def downgrade() -> None:
    op.drop_table("dexa_bone_density")
    op.drop_table("dexa_regions")
    op.drop_table("dexa_scans")
