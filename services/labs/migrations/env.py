"""The tables of labs, for Alembic."""

from services.kit.migrate import run_environment
from services.labs.base import metadata
from services.labs.visits import doctor_visits

# Importing an area's tables registers them.
TABLES = (doctor_visits,)
assert {table.metadata for table in TABLES} == {metadata}
run_environment(metadata)
