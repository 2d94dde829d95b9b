"""What all records of a health profile have in common."""

import psycopg
import pytest

from services.kit.caller import Caller
from tests.harness import failure, person, reason
from tests.identity.health_profile.conftest import CONDITION, KINDS, RESTRICTION, Patient

SECRET = "Ω: only I know"
NAMED = [kind for kind in KINDS if kind is not CONDITION]
DATED = [kind for kind in KINDS if kind is not RESTRICTION]


async def test_a_record_is_stated_read_listed_changed_deleted_and_brought_back(patient: Patient) -> None:
    for kind in KINDS:
        made = await patient.create(kind, notes=SECRET)
        assert made.notes == SECRET
        assert made.user_id == patient.id
        assert await patient.get(kind, made.id) == made
        assert await patient.all(kind) == [made]

        changed = await patient.update(kind, made.id, "notes", notes="less", etag=made.etag)
        assert changed.notes == "less"
        assert changed.etag != made.etag
        await patient.delete(kind, made.id, changed.etag)
        assert await patient.all(kind) == []
        assert [row.id for row in await patient.all(kind, show_deleted=True)] == [made.id]
        assert not (await patient.undelete(kind, made.id)).HasField("deleted_at")
        assert [row.id for row in await patient.all(kind)] == [made.id]


async def test_what_is_not_there_is_not_found(patient: Patient) -> None:
    for kind in KINDS:
        nothing = person().subject
        assert await reason(patient.get(kind, nothing)) == "NOT_FOUND"
        assert await reason(patient.update(kind, nothing, "notes", notes="x")) == "NOT_FOUND"
        assert await reason(patient.delete(kind, nothing)) == "NOT_FOUND"
        assert await reason(patient.undelete(kind, nothing)) == "NOT_FOUND"


async def test_who_comes_too_late_is_told(patient: Patient) -> None:
    for kind in KINDS:
        made = await patient.create(kind)
        assert await reason(patient.update(kind, made.id, "notes", notes="x", etag="old")) == "ETAG_MISMATCH"
        assert await reason(patient.delete(kind, made.id, "old")) == "ETAG_MISMATCH"


async def test_a_repeat_answers_as_the_first_time_and_another_request_does_not(patient: Patient) -> None:
    for kind in KINDS:
        made = await patient.create(kind, kind.file, notes=SECRET)
        assert await patient.create(kind, kind.file, notes=SECRET) == made
        assert await reason(patient.create(kind, kind.file, notes="other")) == "REQUEST_ID_REUSED"
        assert len(await patient.all(kind)) == 1


async def test_pages_are_bound_to_their_list(patient: Patient) -> None:
    for kind in KINDS:
        assert await reason(patient.all(kind, page_token="nonsense")) == "INVALID_PAGE_TOKEN"


async def test_the_same_is_stated_once_among_the_living(patient: Patient) -> None:
    for kind in NAMED:
        first = await patient.create(kind)
        assert await reason(patient.create(kind)) == "ALREADY_EXISTS"
        await patient.delete(kind, first.id)
        second = await patient.create(kind)
        assert await reason(patient.undelete(kind, first.id)) == "ALREADY_EXISTS"
        await patient.delete(kind, second.id)
        assert (await patient.undelete(kind, first.id)).id == first.id


async def test_a_condition_can_come_back(patient: Patient) -> None:
    await patient.create(CONDITION)
    await patient.create(CONDITION, status="recurrence")
    assert [row.status for row in await patient.all(CONDITION)] == ["recurrence", "active"]


async def test_all_that_a_change_must_not_clear_or_name_is_told_at_once(patient: Patient) -> None:
    made = await patient.create(CONDITION)
    error = await failure(patient.update(CONDITION, made.id, "name", "status", "notes"))
    assert [(broken.field, broken.description) for broken in error.violations] == [
        ("name", "is required"),
        ("status", "is required"),
    ]
    error = await failure(patient.update(CONDITION, made.id, "cause", "name", "created_at"))
    assert [broken.description for broken in error.violations] == ["cause is not a field", "created_at cannot be set"]


async def test_a_restriction_stays_the_one_that_it_is(patient: Patient) -> None:
    made = await patient.create(RESTRICTION)
    error = await failure(patient.update(RESTRICTION, made.id, restriction="kosher"))
    assert (error.reason.name, error.violations[0].field) == ("INVALID_FIELD", "restriction")


async def test_who_has_not_proved_their_address_writes_nothing(patient: Patient) -> None:
    made = [await patient.create(kind, notes="x") for kind in KINDS]
    patient.unverify()
    for kind, record in zip(KINDS, made, strict=True):
        assert await reason(patient.create(kind)) == "EMAIL_UNVERIFIED"
        assert await reason(patient.update(kind, record.id, "notes", notes="y")) == "EMAIL_UNVERIFIED"
        # What is there is read, and can be taken away.
        assert (await patient.get(kind, record.id)).notes == "x"
        await patient.delete(kind, record.id)


async def test_somebody_unknown_writes_nothing(patient: Patient) -> None:
    stranger = patient._replace(caller=person())
    for kind in KINDS:
        assert await reason(stranger.create(kind)) == "EMAIL_UNVERIFIED"


async def test_the_database_says_so_too(patient: Patient) -> None:
    least = [
        "allergies (id, user_id, name, severity) VALUES (gen_random_uuid(), %s, 'x', 'MILD')",
        "intolerances (id, user_id, name) VALUES (gen_random_uuid(), %s, 'x')",
        "medical_conditions (id, user_id, name, status) VALUES (gen_random_uuid(), %s, 'x', 'active')",
        "dietary_restrictions (id, user_id, restriction) VALUES (gen_random_uuid(), %s, 'keto')",
        "health_profiles (user_id) VALUES (%s)",
    ]
    patient.unverify()
    with psycopg.connect(patient.identity.database.app_url, autocommit=True) as app:
        app.execute("SELECT set_config('app.subject_id', %s, false)", [patient.id])
        for row in least:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(f"INSERT INTO {row}".encode(), [patient.id])
        patient.sql("UPDATE users SET email_verified_at = now() WHERE id = %s", patient.id)
        for row in least:
            app.execute(f"INSERT INTO {row}".encode(), [patient.id])


async def test_a_grant_opens_them_to_somebody_else(patient: Patient) -> None:
    for kind in KINDS:
        made = await patient.create(kind)
        actor = person().subject
        coach = Caller(actor, patient.id, "coach", frozenset({"health_profile.read"}), "request-1", grant_id=actor)
        answer = await patient.call(kind, f"Get{kind.message}", coach, id=made.id)
        assert getattr(answer, kind.field).id == made.id
        assert await reason(patient.call(kind, f"Delete{kind.message}", coach, id=made.id)) == "SCOPE_MISSING"


async def test_what_is_written_about_it_is_encrypted(patient: Patient) -> None:
    for kind in KINDS:
        fields = {"reaction": SECRET} if "reaction" in getattr(kind.pb, kind.message).DESCRIPTOR.fields_by_name else {}
        made = await patient.create(kind, kind.file, notes=SECRET, **fields)
        await patient.update(kind, made.id, "notes", notes=f"{SECRET}!")
        for table in (kind.file, "audit_log", "idempotency_keys"):
            stored = patient.sql(f"SELECT to_jsonb(t)::text FROM {table} t WHERE user_id = %s", patient.id)
            assert stored
            assert SECRET not in str(stored)
            assert SECRET.encode().hex() not in str(stored)


async def test_every_change_is_in_the_audit_trail(patient: Patient) -> None:
    for kind in KINDS:
        made = await patient.create(kind)
        await patient.delete(kind, made.id)
        rows = patient.sql("SELECT action FROM audit_log WHERE table_name = %s AND record_id = %s", kind.file, made.id)
        assert sorted(action for (action,) in rows) == ["INSERT", "UPDATE"]


async def test_a_diagnosis_is_not_of_tomorrow(patient: Patient) -> None:
    patient.sql("INSERT INTO user_preferences (user_id, timezone) VALUES (%s, 'Pacific/Kiritimati')", patient.id)
    ((today, later),) = patient.sql(
        "SELECT day::text, (day + 2)::text FROM (SELECT (now() AT TIME ZONE 'Pacific/Kiritimati')::date AS day)"
    )
    for kind in DATED:
        made = await patient.create(kind, diagnosed_date=today)
        assert made.diagnosed_date == today
        error = await failure(patient.update(kind, made.id, "diagnosed_date", diagnosed_date=later))
        assert (error.reason.name, error.violations[0].field) == ("INVALID_FIELD", "diagnosed_date")
