"""Every table with a person's rows is in the export and in the erasure of its service, or listed with a reason."""

import re
from pathlib import Path

import psycopg
import pytest

from services.kit.database import Database
from services.kit.personal import AUDIT_LOG, DATA_KEYS, PersonalData
from tests.databases import ServiceDatabase
from tests.harness import make_trust
from tests.services import SERVICES, CloneDatabase, settings_of

# Found in PostgreSQL's own catalog, whatever the code says.
PEOPLES = """
SELECT DISTINCT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
AND (a.attname = 'user_id' OR c.relrowsecurity)
"""
SUSPICIOUS = re.compile("hash|secret|token|password|(^|_)key")
# Columns that only sound like credentials.
HARMLESS = {
    "biomarker_aliases.alias_key": "the words of the alias itself",
    "blood_markers.marker_key": "the marker's own name",
    "documents.s3_key": "where the file is, not what opens it",
    "documents.file_sha256": "of what the person brought themselves",
    "imports.object_key": "where the file is, not what opens it",
    "imports.file_sha256": "of what the person brought themselves",
    "lab_imports.file_sha256": "of what the person brought themselves",
}


class Declared:
    def __init__(self, service: str, personal: PersonalData, database: ServiceDatabase) -> None:
        self.service = service
        self.personal = personal
        with psycopg.connect(database.migrator_url) as owner:
            self.tables = {name for (name,) in owner.execute(PEOPLES)}


@pytest.fixture(params=sorted(SERVICES))
def declared(request: pytest.FixtureRequest, tmp_path: Path, clone_database: CloneDatabase) -> Declared:
    database = clone_database(request.param)
    service, _ = SERVICES[request.param]
    settings = settings_of(request.param, tmp_path, database, make_trust(tmp_path))
    parts = service.build(settings, Database(database.app_url))
    assert parts.personal
    return Declared(request.param, parts.personal, database)


def test_every_table_of_people_is_exported_or_left_out_for_a_reason(declared: Declared) -> None:
    exported = {table.name for table in declared.personal.exported()} | {DATA_KEYS} & declared.tables
    assert exported.isdisjoint(declared.personal.left_out)
    assert exported | set(declared.personal.left_out) == declared.tables
    assert all(declared.personal.left_out.values())


def test_every_table_of_people_is_erased(declared: Declared) -> None:
    otherwise = {AUDIT_LOG, DATA_KEYS, *declared.personal.kept}
    assert {name for name, _ in declared.personal.erased("")} == declared.tables - otherwise


def test_nothing_that_opens_anything_leaves(declared: Declared) -> None:
    leaving = {
        f"{table.name}.{column.name}"
        for table in declared.personal.exported()
        for column in declared.personal.columns(table)
        if SUSPICIOUS.search(column.name)
    }
    assert leaving <= set(HARMLESS)
    assert all(reason for columns in declared.personal.secret.values() for reason in columns.values())
