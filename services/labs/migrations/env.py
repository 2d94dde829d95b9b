"""The tables of labs, for Alembic."""

from services.kit.migrate import run_environment
from services.labs.base import metadata
from services.labs.biomarkers.tables import biomarker_aliases, biomarkers, shared_biomarker_aliases
from services.labs.body_composition.tables import dexa_scans
from services.labs.documents.tables import document_values
from services.labs.epigenetics.tables import epigenetic_tests
from services.labs.interchange.tables import lab_imports
from services.labs.panels.tables import blood_markers
from services.labs.visits import doctor_visits

# Importing an area's tables registers them.
TABLES = (
    biomarker_aliases,
    biomarkers,
    blood_markers,
    doctor_visits,
    document_values,
    dexa_scans,
    epigenetic_tests,
    lab_imports,
    shared_biomarker_aliases,
)
assert {table.metadata for table in TABLES} == {metadata}
run_environment(metadata)
