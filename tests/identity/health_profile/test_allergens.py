"""The list of allergens as everybody reads it, and as the database has it."""

import re
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Any

import psycopg
import pytest

from services.identity.health_profile import allergens
from services.identity.health_profile.allergens.catalogue import CATALOGUE
from services.kit.caller import ANONYMOUS
from tests.harness import failure, person, reason
from tests.identity.conftest import Identity
from vitalis.identity.v1 import allergens_pb2 as pb
from vitalis.identity.v1 import allergens_pb2_grpc

PEANUTS = "f25ef758-c792-51a0-b442-815dff111124"


async def ask(identity: Identity, name: str, **given: Any) -> Any:
    stub = allergens_pb2_grpc.AllergensServiceStub(identity.running.channel)
    request = getattr(pb, f"{name}Request")(**given)
    return await getattr(stub, name)(request, metadata=identity.metadata(ANONYMOUS))


async def test_anybody_reads_an_allergen(identity: Identity) -> None:
    allergen = (await ask(identity, "GetAllergen", id=PEANUTS)).allergen
    assert (allergen.name, allergen.category, list(allergen.lists)) == ("Peanuts", "Food", ["eat", "eu", "us"])
    assert allergen.fda_recognized
    assert allergen.is_active
    assert "groundnut" in allergen.synonyms
    assert "satay" in allergen.derivatives
    assert allergen.common_foods
    assert await reason(ask(identity, "GetAllergen", id=person().subject)) == "NOT_FOUND"


async def test_the_list_is_paged_by_name(identity: Identity) -> None:
    names, token = [], ""
    while True:
        page = await ask(identity, "ListAllergens", page_size=25, page_token=token)
        names += [allergen.name for allergen in page.allergens]
        token = page.next_page_token
        if not token:
            break
        assert len(page.allergens) == 25
    assert names == sorted(allergen.name for allergen in CATALOGUE.by_id.values())


async def test_the_list_is_narrowed_by_list_and_category(identity: Identity) -> None:
    for name, count in {"eat": 12, "eu": 14, "us": 9}.items():
        page = await ask(identity, "ListAllergens", list=name)
        assert len(page.allergens) == count
        assert all(name in allergen.lists for allergen in page.allergens)
    page = await ask(identity, "ListAllergens", category="Medication", page_size=1000)
    assert {allergen.category for allergen in page.allergens} == {"Medication"}
    token = (await ask(identity, "ListAllergens", list="eu", page_size=1)).next_page_token
    assert await reason(ask(identity, "ListAllergens", list="us", page_token=token)) == "INVALID_PAGE_TOKEN"
    error = await failure(ask(identity, "ListAllergens", list="fda"))
    assert (error.reason.name, error.violations[0].field) == ("INVALID_FIELD", "list")


async def test_texts_are_matched_each_by_itself(identity: Identity) -> None:
    texts = ["Erdnüsse", "may contain traces of nuts", "nutmeg"]
    answer = await ask(identity, "MatchAllergens", texts=texts)
    assert [result.text for result in answer.results] == texts
    assert [result.matched for result in answer.results] == [True, True, False]
    (match,) = answer.results[0].matches
    assert (match.allergen_id, match.name, match.method, match.kind) == (PEANUTS, "Peanuts", "synonym", "contains")
    assert (match.confidence, match.words) == (1, "erdnusse")
    assert answer.results[1].matches[0].kind == "may_contain"


async def test_texts_are_bounded(identity: Identity) -> None:
    for texts in ([], [""], ["x" * 501], ["x"] * 21):
        assert await reason(ask(identity, "MatchAllergens", texts=texts)) == "INVALID_FIELD"


async def test_the_database_has_the_list_that_the_file_has(identity: Identity) -> None:
    columns = ", ".join(CATALOGUE.by_name[0]._fields)
    with psycopg.connect(identity.database.migrator_url) as owner:
        rows = owner.execute(f"SELECT {columns} FROM allergens".encode()).fetchall()
    as_listed = {
        tuple(list(value) if isinstance(value, tuple) else value for value in allergen).__repr__()
        for allergen in CATALOGUE.by_name
    }
    assert {repr(row) for row in rows} == as_listed
    with psycopg.connect(identity.database.app_url) as app, pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute("UPDATE allergens SET is_active = false")


def test_a_migration_has_stored_the_file_as_it_is() -> None:
    """Databases that were migrated before the file changed would not know what rows refer to."""
    revisions = sorted(Path(str(resources.files("services.identity") / "migrations" / "versions")).glob("*.py"))
    stored = re.findall('ALLERGENS_SHA256 = "([0-9a-f]+)"', "".join(path.read_text() for path in revisions))
    content = (resources.files(allergens) / "allergens.toml").read_bytes()
    assert stored[-1] == sha256(content).hexdigest(), "add a revision that calls catalogue.store, with this sum"


async def test_the_database_refuses_what_is_no_allergen(identity: Identity) -> None:
    broken = {"name": "name = ''", "category": "category = 'Drink'", "lists": "lists = ARRAY['fda']"}
    with psycopg.connect(identity.database.migrator_url, autocommit=True) as owner:
        for rule, change in broken.items():
            with pytest.raises(psycopg.errors.CheckViolation, match=f'ck_allergens_{rule}"'):
                owner.execute(f"UPDATE allergens SET {change} WHERE id = %s".encode(), [PEANUTS])
        with pytest.raises(psycopg.errors.UniqueViolation):
            owner.execute("UPDATE allergens SET name = 'Milk' WHERE id = %s", [PEANUTS])
