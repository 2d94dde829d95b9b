"""What a coaching profile can be made of: the reference lists, the same for everybody."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

from services.identity.coaching_profile.reference import REFERENCE
from services.kit.migrate import install_function

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

TABLES = ("ref_fitness_levels", "ref_goal_categories", "ref_diet_types", "ref_equipment_types")
# The app reads them by this alone: a table without an owner's rows is not granted to it.
REFERENCE_LISTS = """
    CREATE FUNCTION reference_lists() RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
      SELECT jsonb_build_object(
        'fitness_levels',
        (SELECT jsonb_agg(to_jsonb(r) - 'sort_order' ORDER BY sort_order) FROM public.ref_fitness_levels r),
        'goal_categories',
        (SELECT jsonb_agg(to_jsonb(r) - 'sort_order' ORDER BY sort_order) FROM public.ref_goal_categories r),
        'diet_types',
        (SELECT jsonb_agg(to_jsonb(r) - 'sort_order' ORDER BY sort_order) FROM public.ref_diet_types r),
        'equipment_types',
        (SELECT jsonb_agg(to_jsonb(r) - 'sort_order' ORDER BY sort_order) FROM public.ref_equipment_types r))
    $$
"""


def upgrade() -> None:
    op.create_table(
        "ref_fitness_levels",
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("sort_order", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_ref_fitness_levels")),
    )
    op.create_table(
        "ref_goal_categories",
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("compatible_with_primary", sa.Boolean, server_default="true", nullable=False),
        sa.Column("compatible_with_secondary", sa.Boolean, server_default="true", nullable=False),
        sa.Column("serves", ARRAY(sa.Text), server_default="{}", nullable=False),
        sa.Column("excludes", ARRAY(sa.Text), server_default="{}", nullable=False),
        sa.Column("sort_order", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_ref_goal_categories")),
    )
    op.create_table(
        "ref_diet_types",
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("excludes_food_groups", ARRAY(sa.Text), server_default="{}", nullable=False),
        sa.Column("sort_order", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_ref_diet_types")),
    )
    op.create_table(
        "ref_equipment_types",
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("category", sa.Text, nullable=False),
        sa.Column("typical_locations", ARRAY(sa.Text), server_default="{}", nullable=False),
        sa.Column("sort_order", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_ref_equipment_types")),
    )

    metadata = sa.MetaData()
    for name in TABLES:
        op.bulk_insert(sa.Table(name, metadata, autoload_with=op.get_bind()), getattr(REFERENCE, name))
    install_function("reference_lists()", REFERENCE_LISTS)


def downgrade() -> None:
    op.execute("DROP FUNCTION reference_lists()")
    for name in TABLES:
        op.drop_table(name)
