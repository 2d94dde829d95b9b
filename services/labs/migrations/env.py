"""The tables of labs, for Alembic."""

from services.kit.migrate import run_environment
from services.labs.base import metadata
from services.labs.body_composition.tables import dexa_scans
from services.labs.epigenetics.tables import epigenetic_tests
from services.labs.visits import doctor_visits

# Importing an area's tables registers them.
TABLES = (doctor_visits, dexa_scans, epigenetic_tests)
assert {table.metadata for table in TABLES} == {metadata}
run_environment(metadata)
