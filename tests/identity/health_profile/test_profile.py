"""The health profile: what is stated, and the energy that follows."""

import asyncio
from datetime import date

import psycopg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import given
from hypothesis import strategies as st

from services.identity.health_profile.energy import ACTIVITY_FACTORS, energy
from services.identity.users import age_on
from services.kit.caller import Caller
from tests.harness import failure, person, reason
from tests.identity.conftest import Identity
from tests.identity.health_profile.conftest import Patient
from vitalis.identity.v1 import health_profile_pb2 as pb
from vitalis.identity.v1 import health_profile_pb2_grpc, users_pb2

COMPLETE = {"height_cm": 180, "weight_kg": 80, "activity_level": "moderate"}


async def get(patient: Patient, caller: Caller | None = None) -> pb.HealthProfile:
    stub = health_profile_pb2_grpc.HealthProfileServiceStub(patient.identity.running.channel)
    request = pb.GetHealthProfileRequest(user_id=patient.id)
    answer = await stub.GetHealthProfile(request, metadata=patient.identity.metadata(caller or patient.caller))
    found: pb.HealthProfile = answer.health_profile
    return found


async def update(patient: Patient, *paths: str, **fields: object) -> pb.HealthProfile:
    stub = health_profile_pb2_grpc.HealthProfileServiceStub(patient.identity.running.channel)
    request = pb.UpdateHealthProfileRequest(
        user_id=patient.id,
        health_profile=pb.HealthProfile(**fields),  # type: ignore[arg-type]
        update_mask=FieldMask(paths=paths),
    )
    answer = await stub.UpdateHealthProfile(request, metadata=patient.identity.metadata(patient.caller))
    found: pb.HealthProfile = answer.health_profile
    return found


async def is_a(patient: Patient, sex: str, born: date) -> None:
    user = users_pb2.User(biological_sex=sex, date_of_birth=str(born))
    request = users_pb2.UpdateUserRequest(user_id=patient.id, user=user)
    await patient.identity.users.UpdateUser(request, metadata=patient.identity.metadata(patient.caller))


def years_ago(patient: Patient, years: int, timezone: str = "UTC", days: int = 0) -> date:
    """The day so many years before today in a time zone, by the database's clock."""
    (row,) = patient.sql(
        "SELECT ((now() AT TIME ZONE %s)::date - make_interval(years => %s) + make_interval(days => %s))::date",
        timezone,
        years,
        days,
    )
    found: date = row[0]
    return found


async def test_who_has_stated_nothing_has_an_empty_profile_that_says_what_it_lacks(patient: Patient) -> None:
    profile = await get(patient)
    assert list(profile.absent_because) == [
        "no_date_of_birth",
        "no_sex",
        "no_height",
        "no_weight",
        "no_activity_level",
    ]
    assert not profile.HasField("bmr_kcal")
    assert profile.bmr_source == profile.daily_energy_source == ""
    assert profile.etag
    assert patient.sql("SELECT FROM health_profiles") == []


async def test_energy_follows_from_what_is_stated(patient: Patient) -> None:
    await is_a(patient, "male", years_ago(patient, 40))
    profile = await update(patient, **COMPLETE)
    # 10 x 80 + 6.25 x 180 - 5 x 40 + 5
    assert (profile.bmr_kcal, profile.age_years, profile.biological_sex) == (1730, 40, "male")
    assert (profile.activity_factor, profile.daily_energy_kcal) == (1.55, round(1730 * 1.55))
    assert "Mifflin" in profile.bmr_source
    assert profile.daily_energy_source
    assert list(profile.absent_because) == []
    assert await get(patient) == profile


async def test_a_birthday_is_the_persons_own(patient: Patient) -> None:
    """It begins fourteen hours before Greenwich's on one side of the date line, and twelve after on the other."""
    await update(patient, **COMPLETE)
    patient.sql("INSERT INTO user_preferences (user_id) VALUES (%s)", patient.id)
    for timezone in ("Pacific/Kiritimati", "Etc/GMT+12", "Europe/Vienna"):
        patient.sql("UPDATE user_preferences SET timezone = %s WHERE user_id = %s", timezone, patient.id)
        await is_a(patient, "female", years_ago(patient, 30, timezone))
        assert (await get(patient)).age_years == 30
        await is_a(patient, "female", years_ago(patient, 30, timezone, days=1))
        assert (await get(patient)).age_years == 29


async def test_no_sex_is_guessed(patient: Patient) -> None:
    await update(patient, **COMPLETE)
    for sex in ("other", "prefer_not_to_say"):
        await is_a(patient, sex, years_ago(patient, 40))
        profile = await get(patient)
        assert list(profile.absent_because) == ["no_formula_for_sex"]
        assert not profile.HasField("bmr_kcal")
        assert not profile.HasField("daily_energy_kcal")


async def test_without_an_activity_level_there_is_a_rate_and_no_daily_energy(patient: Patient) -> None:
    await is_a(patient, "female", years_ago(patient, 40))
    profile = await update(patient, height_cm=165.5, weight_kg=60.25)
    assert profile.bmr_kcal == round(10 * 60.25 + 6.25 * 165.5 - 5 * 40 - 161)
    assert list(profile.absent_because) == ["no_activity_level"]


async def test_a_mask_clears_what_is_not_sent(patient: Patient) -> None:
    await update(patient, **COMPLETE)
    profile = await update(patient, "height_cm", "weight_kg", weight_kg=70)
    assert (profile.HasField("height_cm"), profile.weight_kg, profile.activity_level) == (False, 70, "moderate")


async def test_what_is_computed_cannot_be_set(patient: Patient) -> None:
    profile = await update(patient, bmr_kcal=5000, biological_sex="male", **COMPLETE)
    assert not profile.HasField("bmr_kcal")
    assert not profile.HasField("biological_sex")
    error = await failure(update(patient, "bmr_kcal", bmr_kcal=5000))
    assert (error.reason.name, error.violations[0].field) == ("INVALID_FIELD", "update_mask")


async def test_who_comes_too_late_is_told(patient: Patient) -> None:
    empty = await get(patient)
    first = await update(patient, weight_kg=70, etag=empty.etag)
    assert await reason(update(patient, weight_kg=71, etag=empty.etag)) == "ETAG_MISMATCH"
    assert (await update(patient, weight_kg=72, etag=first.etag)).weight_kg == 72


async def test_of_two_first_changes_at_once_both_are_kept_or_one_is_told(patient: Patient) -> None:
    await asyncio.gather(update(patient, weight_kg=70), update(patient, height_cm=170))
    profile = await get(patient)
    assert (profile.weight_kg, profile.height_cm) == (70, 170)
    etag = profile.etag
    outcomes = await asyncio.gather(
        *(update(patient, weight_kg=kg, etag=etag) for kg in (71, 72)), return_exceptions=True
    )
    assert sorted(isinstance(outcome, pb.HealthProfile) for outcome in outcomes) == [False, True]


async def test_who_has_not_proved_their_address_writes_nothing(patient: Patient) -> None:
    patient.unverify()
    assert await reason(update(patient, weight_kg=70)) == "EMAIL_UNVERIFIED"
    assert patient.sql("SELECT FROM health_profiles") == []


async def test_somebody_who_is_not_there_has_none(identity: Identity) -> None:
    nobody = Patient(identity, person())
    assert await reason(get(nobody)) == "NOT_FOUND"


async def test_somebody_else_learns_the_age_and_not_the_day(patient: Patient) -> None:
    await is_a(patient, "male", years_ago(patient, 40))
    await update(patient, **COMPLETE)
    actor = person().subject
    coach = Caller(actor, patient.id, "coach", frozenset({"health_profile.read"}), "request-1", grant_id=actor)
    seen = await get(patient, coach)
    assert (seen.age_years, seen.bmr_kcal) == (40, 1730)
    assert not seen.HasField("date_of_birth")
    assert (await get(patient)).HasField("date_of_birth")


async def test_what_a_profile_does_not_hold(patient: Patient) -> None:
    refused: list[tuple[str, object]] = [
        ("height_cm", 49.9),
        ("height_cm", 300.1),
        ("weight_kg", 19.99),
        ("weight_kg", 500.01),
        ("activity_level", "lazy"),
    ]
    for field, value in [*refused, ("weight_kg", float("nan"))]:
        error = await failure(update(patient, **{field: value}))
        named = (error.reason.name, error.violations[0].field)
        assert named == ("INVALID_FIELD", f"health_profile.{field}"), value
    # What a closed set has in it is told with it.
    levels = "sedentary, light, moderate, active, very_active"
    error = await failure(update(patient, activity_level="lazy"))
    assert error.violations[0].description == f"must be a known activity level: {levels}"
    for field, value in refused:
        with pytest.raises(psycopg.errors.CheckViolation, match=f'ck_health_profiles_{field}"'):
            patient.sql(f"INSERT INTO health_profiles (user_id, {field}) VALUES (%s, %s)", patient.id, value)


@given(
    sex=st.sampled_from(["male", "female"]),
    age=st.integers(13, 150),
    height=st.floats(50, 300),
    weight=st.floats(20, 500),
    activity=st.sampled_from(sorted(ACTIVITY_FACTORS)),
)
def test_energy_is_positive_and_grows_with_the_body(
    sex: str, age: int, height: float, weight: float, activity: str
) -> None:
    def of(**changed: object) -> tuple[int | None, int | None]:
        known = {"sex": sex, "age_years": age, "height_cm": height, "weight_kg": weight, "activity": activity}
        found = energy(**known | changed)  # type: ignore[arg-type]
        assert (found.bmr_kcal is None) == (found.absent_because == ("outside_formula",))
        assert (found.bmr_kcal is None) == (found.daily_energy_kcal is None)
        return found.bmr_kcal, found.daily_energy_kcal

    bmr, daily = of()
    if bmr is not None and daily is not None:
        assert 0 <= bmr <= daily
        heavier, _ = of(weight_kg=weight + 1)
        assert heavier is not None
        assert 9 <= heavier - bmr <= 11
        older, _ = of(age_years=age + 1)
        assert older is None or 4 <= bmr - older <= 6


@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)), st.integers(0, 150))
def test_a_year_is_completed_on_the_birthday_and_not_before(born: date, years: int) -> None:
    leap = (born.month, born.day) == (2, 29)
    year = born.year + years
    birthday = date(year, 3, 1) if leap and not _is_leap(year) else date(year, born.month, born.day)
    assert age_on(born, birthday) == years
    assert age_on(born, date.fromordinal(birthday.toordinal() - 1)) == years - 1


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
