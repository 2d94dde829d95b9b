"""The tables of tracking, for Alembic."""

from services.kit.migrate import run_environment
from services.tracking.base import metadata
from services.tracking.imports.tables import import_changes
from services.tracking.wearables.tables import wearable_daily
from services.tracking.wellbeing import lifestyle_baselines

# Importing an area's tables registers them.
assert {import_changes.metadata, wearable_daily.metadata, lifestyle_baselines.metadata} == {metadata}
run_environment(metadata)
