"""Allergies and intolerances: how they are linked to the list, and what is stated elsewhere."""

import asyncio

import grpc
import psycopg
import pytest

from services.identity.health_profile.allergies import state_allergies
from services.kit.errors import ServiceError
from tests.harness import failure, person, reason
from tests.identity.health_profile.conftest import ALLERGY, CONDITION, INTOLERANCE, RESTRICTION, Kind, Patient
from tests.identity.health_profile.test_allergens import PEANUTS

LINKED = {
    "name": "x",
    "allergen_id": PEANUTS,
    "matched_allergen": "Peanuts",
    "match_method": "exact",
    "match_confidence": 1,
}


@pytest.fixture(params=[ALLERGY, INTOLERANCE], ids=lambda kind: kind.file)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


async def state(patient: Patient, *names: str) -> None:
    async with patient.identity.running.pool.transaction(patient.caller) as connection:
        await state_allergies(connection, patient.id, names)


async def test_a_name_is_kept_as_written_and_linked(patient: Patient, kind: Kind) -> None:
    made = await patient.create(kind, name="Ground-Nuts!")
    assert (made.name, made.matched, made.matched_allergen) == ("Ground-Nuts!", True, "Peanuts")
    assert (made.allergen_id, made.match_method, made.match_confidence) == (PEANUTS, "synonym", 1)
    unlinked = await patient.create(kind, name="nutmeg")
    assert (unlinked.name, unlinked.matched, unlinked.matched_allergen) == ("nutmeg", False, "")
    assert not unlinked.HasField("allergen_id")
    assert not unlinked.HasField("match_confidence")


async def test_a_misspelt_name_says_how_sure_the_link_is(patient: Patient, kind: Kind) -> None:
    made = await patient.create(kind, name="penuts")
    assert (made.matched_allergen, made.match_method) == ("Peanuts", "fuzzy")
    assert 0 < made.match_confidence < 0.9


async def test_an_allergen_is_chosen_by_its_id(patient: Patient, kind: Kind) -> None:
    made = await patient.create(kind, name="", allergen_id=PEANUTS)
    assert (made.name, made.match_method, made.match_confidence) == ("Peanuts", "chosen", 1)
    # Whoever chooses is right, whatever they call it.
    await patient.delete(kind, made.id)
    named = await patient.create(kind, name="those in grandmother's cake", allergen_id=PEANUTS)
    assert (named.name, named.matched_allergen) == ("those in grandmother's cake", "Peanuts")


async def test_another_name_is_looked_for_anew(patient: Patient, kind: Kind) -> None:
    made = await patient.create(kind, name="peanuts")
    renamed = await patient.update(kind, made.id, name="tahini")
    assert (renamed.matched_allergen, renamed.match_method) == ("Sesame", "derivative")
    unlinked = await patient.update(kind, made.id, name="grandmother's jelly")
    assert not unlinked.matched
    chosen = await patient.update(kind, made.id, allergen_id=PEANUTS)
    assert (chosen.name, chosen.matched_allergen) == ("grandmother's jelly", "Peanuts")
    # A choice stays, whatever it is called, until it is taken back; then the name is what there is.
    assert (await patient.update(kind, made.id, name="grandmother's sesame")).matched_allergen == "Peanuts"
    await patient.update(kind, made.id, name="grandmother's jelly")
    assert not (await patient.update(kind, made.id, "allergen_id")).matched
    assert (await patient.update(kind, made.id, "notes", notes="x")).name == "grandmother's jelly"


async def test_who_sends_back_what_they_have_read_chooses_nothing(patient: Patient, kind: Kind) -> None:
    made = await patient.create(kind, name="penuts")
    made.notes = "read, changed and sent back whole"
    answer = await patient.call(kind, f"Update{kind.message}", id=made.id, **{kind.field: made})
    changed = getattr(answer, kind.field)
    assert (changed.notes, changed.match_method, changed.match_confidence) == (made.notes, "fuzzy", 0.75)
    changed.name = "sesame"
    answer = await patient.call(kind, f"Update{kind.message}", id=made.id, **{kind.field: changed})
    assert getattr(answer, kind.field).matched_allergen == "Sesame"


async def test_one_record_is_about_one_allergen(patient: Patient, kind: Kind) -> None:
    for changed in (patient.create(kind, name="nuts and shellfish"), patient.create(kind, name="")):
        error = await failure(changed)
        assert (error.reason.name, error.violations[0].field) == ("INVALID_FIELD", "name")
    error = await failure(patient.create(kind, allergen_id=person().subject))
    assert (error.reason.name, error.violations[0].field) == ("INVALID_FIELD", "allergen_id")


async def test_the_same_under_another_name_is_the_same(patient: Patient, kind: Kind) -> None:
    await patient.create(kind, name="peanuts")
    assert await reason(patient.create(kind, name="groundnuts")) == "ALREADY_EXISTS"
    await patient.create(kind, name="Grandmother's jelly")
    assert await reason(patient.create(kind, name="grandmother's JELLY")) == "ALREADY_EXISTS"
    other = await patient.create(kind, name="sesame")
    assert await reason(patient.update(kind, other.id, name="peanut")) == "ALREADY_EXISTS"
    # A group and one that belongs to it are not the same.
    await patient.create(kind, name="nuts")
    await patient.create(kind, name="almonds")


async def test_of_two_who_state_the_same_at_once_one_is_told(patient: Patient, kind: Kind) -> None:
    outcomes = await asyncio.gather(
        *(patient.create(kind, name=name) for name in ("peanuts", "groundnuts")), return_exceptions=True
    )
    assert sorted(isinstance(outcome, grpc.aio.AioRpcError) for outcome in outcomes) == [False, True]
    assert [row.matched_allergen for row in await patient.all(kind)] == ["Peanuts"]


async def test_all_that_is_wrong_is_told_at_once(patient: Patient) -> None:
    made = await patient.create(ALLERGY)
    error = await failure(
        patient.update(
            ALLERGY,
            made.id,
            "name",
            "severity",
            "diagnosed_date",
            name="nuts and shellfish",
            diagnosed_date="9000-01-01",
        )
    )
    assert {violation.field for violation in error.violations} == {"name", "severity", "diagnosed_date"}


async def test_an_allergy_has_a_severity(patient: Patient) -> None:
    made = await patient.create(ALLERGY)
    assert (made.severity, made.source) == ("SEVERE", "stated")
    error = await failure(patient.update(ALLERGY, made.id, "severity"))
    assert (error.reason.name, error.violations[0].field) == ("INVALID_FIELD", "severity")
    for severity in ("MILD", "MODERATE", "LIFE_THREATENING"):
        assert (await patient.update(ALLERGY, made.id, severity=severity)).severity == severity


async def test_names_of_a_list_become_allergies_of_which_nobody_has_said_how_severe(patient: Patient) -> None:
    await state(patient, "peanuts", "nutmeg", "nuts and shellfish", "groundnuts", "peanuts")
    rows = {(row.name, row.matched_allergen) for row in await patient.all(ALLERGY)}
    assert rows == {
        ("peanuts", "Peanuts"),
        ("nutmeg", ""),
        ("nuts and shellfish", "Tree nuts"),
        ("nuts and shellfish", "Shellfish"),
    }
    assert {(row.source, row.HasField("severity")) for row in await patient.all(ALLERGY)} == {
        ("dietary_preferences", False)
    }


async def test_stating_a_list_again_changes_nothing(patient: Patient) -> None:
    mine = await patient.create(ALLERGY, name="Peanuts", severity="LIFE_THREATENING")
    names = ("groundnuts", "Nutmeg", "milk")
    await state(patient, *names)
    before = await patient.all(ALLERGY)
    await state(patient, *names)
    await state(patient, "nutmeg")
    await state(patient)
    assert await patient.all(ALLERGY) == before
    assert await patient.get(ALLERGY, mine.id) == mine
    assert len(before) == 3


async def test_none_is_no_allergy(patient: Patient) -> None:
    await state(patient, "None", "n/a", "no known allergies", "keine", "-")
    assert await patient.all(ALLERGY) == []


async def test_two_devices_state_the_same_list_at_once(patient: Patient) -> None:
    await asyncio.gather(*(state(patient, "peanuts", "nutmeg", "milk") for _ in range(4)))
    assert len(await patient.all(ALLERGY)) == 3


async def test_a_severity_is_added_to_what_came_from_a_list(patient: Patient) -> None:
    await state(patient, "peanuts")
    (row,) = await patient.all(ALLERGY)
    changed = await patient.update(ALLERGY, row.id, severity="MODERATE")
    assert (changed.severity, changed.source) == ("MODERATE", "dietary_preferences")


async def test_nothing_is_stated_for_who_has_not_proved_their_address(patient: Patient) -> None:
    patient.unverify()
    with pytest.raises(ServiceError, match="prove your address"):
        await state(patient, "peanuts")
    assert patient.sql("SELECT FROM allergies") == []


REFUSED: list[tuple[Kind, dict[str, str], str]] = [
    (ALLERGY, {"severity": "mild"}, "severity"),
    (ALLERGY, {"name": "x" * 101}, "name"),
    (ALLERGY, {"name": " "}, "name"),
    (ALLERGY, {"diagnosed_date": "2023-02-29"}, "diagnosed_date"),
    (ALLERGY, {"notes": "x" * 501}, "notes"),
    (ALLERGY, {"reaction": "x" * 501}, "reaction"),
    (ALLERGY, {"allergen_id": "peanuts"}, "allergen_id"),
    (INTOLERANCE, {"name": "x" * 101}, "name"),
    (INTOLERANCE, {"notes": "x" * 501}, "notes"),
    (CONDITION, {"name": "x" * 201}, "name"),
    (CONDITION, {"name": ""}, "name"),
    (CONDITION, {"icd10_code": "asthma"}, "icd10_code"),
    (CONDITION, {"icd10_code": "J45."}, "icd10_code"),
    (CONDITION, {"status": "cured"}, "status"),
    (CONDITION, {"notes": "x" * 501}, "notes"),
    (RESTRICTION, {"restriction": "carnivore"}, "restriction"),
    (RESTRICTION, {"restriction": ""}, "restriction"),
]


async def test_what_a_record_does_not_hold(patient: Patient) -> None:
    for kind, fields, field in REFUSED:
        error = await failure(patient.create(kind, **fields))
        named = (error.reason.name, error.violations[0].field)
        assert named == ("INVALID_FIELD", f"{kind.field}.{field}"), fields


async def test_an_allergy_is_not_stated_without_a_severity(patient: Patient) -> None:
    request = ALLERGY.pb.CreateAllergyRequest(user_id=patient.id, allergy=ALLERGY.pb.Allergy(name="peanuts"))
    stub = ALLERGY.stub(patient.identity.running.channel)
    error = await failure(stub.CreateAllergy(request, metadata=patient.identity.metadata(patient.caller)))
    assert (error.reason.name, error.violations[0].field) == ("INVALID_FIELD", "allergy.severity")


BROKEN: list[tuple[str, dict[str, object], str]] = [
    ("allergies", {"name": "", "severity": "MILD"}, "name"),
    ("allergies", {"name": "x" * 101, "severity": "MILD"}, "name"),
    ("allergies", {"name": "x", "severity": "mild"}, "severity"),
    ("allergies", {"name": "x"}, "severity_stated"),
    ("allergies", {"name": "x", "severity": "MILD", "source": "rumour"}, "source"),
    ("allergies", {"name": "x", "severity": "MILD", "allergen_id": PEANUTS}, "match"),
    ("allergies", {**LINKED, "severity": "MILD", "match_method": "guess"}, "match_method"),
    ("allergies", {**LINKED, "severity": "MILD", "match_confidence": -0.1}, "match_confidence"),
    ("intolerances", {"name": ""}, "name"),
    ("intolerances", {**LINKED, "match_method": "guess"}, "match_method"),
    ("intolerances", {**LINKED, "match_confidence": 2}, "match_confidence"),
    ("intolerances", {"name": "x", "matched_allergen": "Peanuts"}, "match"),
    ("medical_conditions", {"name": "", "status": "active"}, "name"),
    ("medical_conditions", {"name": "x", "status": "cured"}, "status"),
    ("medical_conditions", {"name": "x", "status": "active", "icd10_code": "45"}, "icd10_code"),
    ("dietary_restrictions", {"restriction": "carnivore"}, "restriction"),
]


async def test_the_database_refuses_it_too(patient: Patient) -> None:
    for table, columns, rule in BROKEN:
        names, values = ", ".join(columns), ", ".join(["%s"] * len(columns))
        statement = f"INSERT INTO {table} (id, user_id, {names}) VALUES (gen_random_uuid(), %s, {values})"
        with pytest.raises(psycopg.errors.CheckViolation, match=f'ck_{table}_{rule}"'):
            patient.sql(statement, patient.id, *columns.values())


async def test_an_allergen_that_is_not_on_the_list_is_no_link(patient: Patient) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        patient.sql(
            f"INSERT INTO intolerances (id, user_id, {', '.join(LINKED)})"
            " VALUES (gen_random_uuid(), %s, 'x', gen_random_uuid(), 'x', 'exact', 1)",
            patient.id,
        )
