"""Units, time zone, notifications, dashboard."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import psycopg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from services.identity.preferences import DEFAULTS, MAX_OBJECT_BYTES, UNITS
from services.identity.timezones import canonical
from services.kit.caller import Caller
from services.kit.errors import ServiceError
from tests.harness import failure, person, reason
from tests.identity.conftest import Identity
from vitalis.identity.v1 import preferences_pb2 as pb

NOW = datetime(2026, 7, 1, tzinfo=UTC)
ZONES = sorted(available_timezones() - {"Factory", "localtime"})


async def get(identity: Identity, caller: Caller) -> pb.Preferences:
    request = pb.GetPreferencesRequest(user_id=caller.subject)
    return (await identity.preferences.GetPreferences(request, metadata=identity.metadata(caller))).preferences


async def update(identity: Identity, caller: Caller, preferences: pb.Preferences, *paths: str) -> pb.Preferences:
    request = pb.UpdatePreferencesRequest(
        user_id=caller.subject, preferences=preferences, update_mask=FieldMask(paths=paths)
    )
    return (await identity.preferences.UpdatePreferences(request, metadata=identity.metadata(caller))).preferences


def struct(content: dict[str, Any]) -> Struct:
    made = Struct()
    made.update(content)
    return made


@pytest.fixture
async def ada(identity: Identity) -> Caller:
    return person(await identity.make_person("ada@example.com", "Ada"))


async def test_everybody_has_the_defaults_of_the_specification(identity: Identity, ada: Caller) -> None:
    preferences = await get(identity, ada)
    assert preferences == DEFAULTS
    assert MessageToDict(preferences, preserving_proto_field_name=True) == {
        "weight_unit": "lbs",
        "height_unit": "in",
        "distance_unit": "miles",
        "temperature_unit": "F",
        "energy_unit": "kcal",
        "timezone": "UTC",
        "notifications_enabled": True,
        "notification_prefs": {},
        "dashboard_layout": {},
        "etag": "0",
    }


async def test_a_row_without_values_is_the_defaults_too(identity: Identity, ada: Caller) -> None:
    with psycopg.connect(identity.database.migrator_url) as owner:
        owner.execute("INSERT INTO user_preferences (user_id) VALUES (%s)", [ada.subject])
    preferences = await get(identity, ada)
    preferences.ClearField("updated_at")
    preferences.etag = DEFAULTS.etag
    assert preferences == DEFAULTS


async def test_what_is_sent_is_changed_and_the_rest_stays(identity: Identity, ada: Caller) -> None:
    layout = {"widgets": ["sleep", "steps"], "hidden": {"mood": True}, "columns": 2.5, "nothing": None}
    metric = {name: units[1] for name, units in UNITS.items()}
    sent = pb.Preferences(
        **metric,  # type: ignore[arg-type]
        timezone="europe/vienna",
        notifications_enabled=False,
        dashboard_layout=struct(layout),
    )
    changed = await update(identity, ada, sent)
    assert changed == await get(identity, ada)
    assert {name: getattr(changed, name) for name in UNITS} == metric
    assert (changed.timezone, changed.notifications_enabled) == ("Europe/Vienna", False)
    assert MessageToDict(changed.dashboard_layout) == layout
    assert changed.HasField("updated_at")
    again = await update(identity, ada, pb.Preferences(weight_unit="lbs", etag=changed.etag))
    assert (again.weight_unit, again.height_unit, again.timezone) == ("lbs", "cm", "Europe/Vienna")
    assert again.etag != changed.etag


async def test_what_is_cleared_goes_back_to_its_default(identity: Identity, ada: Caller) -> None:
    await update(
        identity,
        ada,
        pb.Preferences(
            weight_unit="kg",
            timezone="Asia/Tokyo",
            notifications_enabled=False,
            notification_prefs=struct({"email": False}),
            dashboard_layout=struct({"a": 1}),
        ),
    )
    paths = ("timezone", "notifications_enabled", "notification_prefs")
    cleared = await update(identity, ada, pb.Preferences(), *paths)
    assert (cleared.weight_unit, cleared.timezone, cleared.notifications_enabled) == ("kg", "UTC", True)
    assert not cleared.notification_prefs.fields
    assert cleared.dashboard_layout.fields
    reset = await update(identity, ada, pb.Preferences(), "*")
    assert (reset.weight_unit, len(reset.dashboard_layout.fields)) == ("lbs", 0)


async def test_an_etag_that_is_old_changes_nothing(identity: Identity, ada: Caller) -> None:
    kg, lbs = pb.Preferences(weight_unit="kg", etag="0"), pb.Preferences(weight_unit="lbs", etag="0")
    first = await update(identity, ada, kg)
    error = await failure(update(identity, ada, lbs))
    assert (error.reason.name, error.metadata) == ("ETAG_MISMATCH", {"etag": first.etag})
    assert await get(identity, ada) == first


async def test_of_two_first_changes_at_once_one_is_first(identity: Identity, ada: Caller) -> None:
    sent = pb.Preferences(weight_unit="kg", etag="0")
    outcomes = await asyncio.gather(*(update(identity, ada, sent) for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(outcome, pb.Preferences) for outcome in outcomes) == 1


@pytest.mark.parametrize(
    ("preferences", "field"),
    [
        (pb.Preferences(weight_unit="stone"), "preferences.weight_unit"),
        (pb.Preferences(height_unit="kg"), "preferences.height_unit"),
        (pb.Preferences(distance_unit="KM"), "preferences.distance_unit"),
        (pb.Preferences(temperature_unit="K"), "preferences.temperature_unit"),
        (pb.Preferences(energy_unit="kj"), "preferences.energy_unit"),
        (pb.Preferences(timezone="Europe/Wien"), "timezone"),
        (pb.Preferences(timezone="../../etc/passwd"), "timezone"),
        (pb.Preferences(timezone="Factory"), "timezone"),
        (pb.Preferences(timezone="a" * 51), "preferences.timezone"),
        (pb.Preferences(dashboard_layout=struct({"a": "x" * MAX_OBJECT_BYTES})), "dashboard_layout"),
        (pb.Preferences(notification_prefs=struct({"x" * MAX_OBJECT_BYTES: 1})), "notification_prefs"),
        # Short as sent, and 300 digits each as PostgreSQL writes them.
        (pb.Preferences(notification_prefs=struct({"a": [1e300] * 1000})), "notification_prefs"),
        (pb.Preferences(notification_prefs=struct({"a": float("nan")})), "notification_prefs"),
    ],
)
async def test_what_preferences_do_not_hold(
    identity: Identity, ada: Caller, preferences: pb.Preferences, field: str
) -> None:
    error = await failure(update(identity, ada, preferences))
    assert (error.reason.name, error.violations[0].field) == ("INVALID_FIELD", field)
    assert await get(identity, ada) == DEFAULTS


async def test_text_that_the_database_cannot_hold_is_refused(identity: Identity, ada: Caller) -> None:
    sent = pb.Preferences(dashboard_layout=struct({"a": "\0"}))
    assert await reason(update(identity, ada, sent)) == "INVALID_FIELD"


async def test_somebody_elses_are_not_read_or_changed_by_a_grant(identity: Identity, ada: Caller) -> None:
    scopes = frozenset({"profile.read", "wearables.read", "wearables.write", "imports.read", "imports.write"})
    coach = Caller(person().actor, ada.subject, "coach", scopes)
    assert await reason(get(identity, coach)) == "SCOPE_MISSING"
    assert await reason(update(identity, coach, pb.Preferences(weight_unit="kg"))) == "SCOPE_MISSING"


@given(st.sampled_from(ZONES), st.lists(st.booleans(), min_size=40, max_size=40))
def test_every_zone_is_known_in_any_case(zone: str, upper: list[bool]) -> None:
    known = canonical("".join(c.upper() if up else c.lower() for c, up in zip(zone, upper, strict=False)))
    assert known == canonical(zone) == canonical(known)
    assert ZoneInfo(known).utcoffset(NOW) == ZoneInfo(zone).utcoffset(NOW)


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("UTC", "UTC"),
        ("Etc/UTC", "UTC"),
        ("zulu", "UTC"),
        ("Asia/Calcutta", "Asia/Kolkata"),
        ("US/Pacific", "America/Los_Angeles"),
        ("Europe/Kiev", "Europe/Kyiv"),
        # Linked to Berlin since their clocks agree; still its own name.
        ("Europe/Stockholm", "Europe/Stockholm"),
        ("Etc/GMT+5", "Etc/GMT+5"),
    ],
)
def test_older_names_become_present_ones(name: str, zone: str) -> None:
    assert canonical(name) == zone


@given(st.text().filter(lambda text: text.lower() not in {zone.lower() for zone in ZONES}))
def test_anything_else_is_no_zone(text: str) -> None:
    with pytest.raises(ServiceError, match="timezone: must be"):
        canonical(text)
