"""Flows are data that is held against the contract; a person stays with theirs as long as it is there."""

import re
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from google.protobuf import json_format

from services.identity.onboarding.answers import from_text, to_text
from services.identity.onboarding.definitions import DIRECTORY, load
from services.identity.settings import IdentitySettings
from services.kit.contract import ContractError
from tests.databases import ServiceDatabase
from tests.harness import Trust, reason
from tests.identity.conftest import Identity, running
from tests.identity.onboarding.people import ANSWERS, ORDER, Onboarder, somebody
from vitalis.identity.v1 import onboarding_pb2 as pb

Settings = tuple[IdentitySettings, ServiceDatabase]
FULL = (DIRECTORY / "1.0.toml").read_text().replace('version = "1.0"', 'version = "2.0"')
ACKNOWLEDGED = '{ path = "acknowledged", question = "Have you read this, and do you want to go on?" },'


def with_field(field: str) -> str:
    """A flow that asks for something else besides in its first step."""
    return FULL.replace(ACKNOWLEDGED, f"{ACKNOWLEDGED} {field},")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(**texts: str) -> Path:
        for name, text in texts.items():
            (tmp_path / f"{name.removeprefix('v').replace('_', '.')}.toml").write_text(text)
        return tmp_path

    return write


def test_the_flows_of_the_product() -> None:
    flows = load()
    assert [flow.version for flow in flows.newest_first] == ["1.1", "1.0"]
    assert flows.default.version == "1.0"
    assert [step.number for step in flows.default.steps] == list(range(12))
    newer = flows.get("1.1")
    assert newer
    names = [step.name for step in newer.steps]
    assert names[:2] == ["welcome", "health_profile"]
    assert sorted(names) == sorted(ORDER)
    for flow in flows.newest_first:
        for step in flow.steps:
            assert step.definition.title
            assert step.definition.text
            assert (step.definition.step, step.definition.name) == (step.number, step.name)
            assert all(field.question and field.type for field in every_field(step.definition.fields))


def every_field(fields: object) -> list[pb.OnboardingField]:
    return [each for field in fields for each in (field, *every_field(field.fields))]  # type: ignore[attr-defined]


async def test_a_client_is_told_everything_it_needs_to_ask(identity: Identity) -> None:
    ada = await somebody(identity)
    listed = await ada.stub.GetOnboardingFlows(pb.GetOnboardingFlowsRequest(), metadata=identity.metadata())
    assert [(flow.version, flow.is_default, len(flow.steps)) for flow in listed.flows] == [
        ("1.1", False, 0),
        ("1.0", True, 0),
    ]
    request = pb.GetOnboardingFlowRequest(version="1.0")
    flow = (await ada.stub.GetOnboardingFlow(request, metadata=identity.metadata())).flow
    assert flow.is_default
    fields = {f"{step.name}.{field.path}": field for step in flow.steps for field in every_field(step.fields)}

    def told(path: str) -> dict[str, object]:
        content: dict[str, object] = json_format.MessageToDict(fields[path], preserving_proto_field_name=True)
        return {name: value for name, value in content.items() if name not in ("name", "path", "question")}

    assert told("welcome.acknowledged") == {"type": "boolean", "required": True}
    assert told("fitness_experience.fitness_level") == {
        "type": "choice",
        "required": True,
        "allowed_values": ["beginner", "intermediate", "advanced"],
    }
    assert told("goals.goals.target_weight_kg") == {
        "type": "number",
        "minimum": 20,
        "maximum": 500,
        "exclusive_maximum": True,
    }
    assert told("goals.goals.target_date") == {"type": "date", "example": "2027-06-30"}
    assert told("goals.goals.user_explanation") == {"type": "text", "max_length": 2000}
    assert told("meal_plan.meals_per_day") == {"type": "integer", "required": True, "minimum": 2, "maximum": 8}
    assert told("meal_plan.protein_grams_target")["exclusive_minimum"] is True
    assert told("hydration.reminder_start_time") == {"type": "time", "default_value": "08:00", "example": "08:00"}
    assert told("hydration.reminder_enabled") == {"type": "boolean", "default_value": "true"}
    assert told("dietary_preferences.allergies") == {
        "type": "text",
        "repeated": True,
        "max_items": 100,
        "min_length": 1,
        "max_length": 100,
        "pattern": r"^[^\p{Cc}]*[^\p{C}\p{Z}][^\p{Cc}]*$",
        "example": "peanuts",
    }
    assert told("physical_constraints.constraints.available_equipment")["pattern"] == "^[a-z0-9_]{1,50}$"
    slots = fields["physical_constraints.constraints.available_time_slots"]
    assert (slots.type, slots.repeated, [field.name for field in slots.fields]) == (
        "group",
        True,
        ["day", "start", "end"],
    )
    meals = fields["meal_schedule.meal_schedules"]
    assert (meals.type, meals.repeated, meals.required, meals.max_items) == ("group", True, True, 10)
    unknown = pb.GetOnboardingFlowRequest(version="9.9")
    assert await reason(ada.stub.GetOnboardingFlow(unknown, metadata=identity.metadata())) == "NOT_FOUND"


def test_a_flow_takes_over_what_it_does_not_describe_itself(write: Callable[..., Path]) -> None:
    order = FULL.partition("order = [")[2].partition("]")[0]
    newer = f"""
version = "2.1"
based_on = "2.0"
order = ["welcome", "health_profile", {order.replace('"welcome",', "").replace('"health_profile",', "")}]
[steps.fitness_experience]
title = "Experience"
text = ""
writes = ["coaching_profile"]
fields = [{{ path = "fitness_level", question = "?", default = "beginner" }}]
"""
    flows = load("2.0", write(v2_0=FULL, v2_1=newer))
    flow, base = flows.get("2.1"), flows.default
    assert flow
    assert [step.name for step in flow.steps[:3]] == ["welcome", "health_profile", "fitness_experience"]
    assert [step.number for step in flow.steps] == list(range(12))
    assert flow.steps[2].definition.fields[0].default_value == "beginner"
    assert flow.steps[3].definition.fields == base.steps[2].definition.fields


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version = ", "Invalid value"),
        (FULL.replace('"2.0"', '"two"'), "version"),
        (FULL.replace('"2.0"', '"2.1"'), "says that it is version 2.1"),
        (FULL + "\n[more]\n", "more"),
        (FULL.replace('  "welcome",\n', ""), "describes welcome"),
        (FULL.replace('  "confirmation",\n', ""), "does not end with confirmation"),
        (FULL.replace('  "welcome",\n', '  "welcome",\n "welcome",\n').replace('  "hydration",\n', ""), "a step twice"),
        (FULL.replace('  "welcome",\n', '  "wellcome",\n'), "wellcome is no step"),
        (FULL.replace("[steps.welcome]", "[steps.wellcome]"), "welcome is no step"),
        (FULL.replace('path = "acknowledged"', 'path = "acknowledge"'), "acknowledged is required and not asked"),
        (with_field('{ path = "x", question = "?" }'), "x is nothing"),
        (with_field('{ path = "x.y", question = "?" }'), "x.y is in no group"),
        (with_field('{ path = "acknowledged", question = "?" }'), "twice"),
        (FULL.replace('go on?" }', 'go on?", default = "maybe" }'), "of another type"),
        (FULL.replace('go on?" }', 'go on?", asks = 1 }'), "asks"),
        (
            FULL.replace('{ path = "confirmed", question = "Is all of this right?" }', '{ path = "confirmed" }'),
            "question",
        ),
        (
            FULL.replace('question = "How experienced are you?"', 'question = "?", default = "godlike"'),
            "breaks its rule",
        ),
        (FULL.replace('title = "Welcome"', 'title = "Welcome"\noptional = true'), "something in it is required"),
        (FULL.replace('version = "2.0"', 'version = "2.0"\nbased_on = "2.0"'), "based on 2.0"),
        (FULL.replace('version = "2.0"', 'version = "2.0"\nbased_on = "1.9"'), "based on 1.9"),
        (
            FULL.replace('{ path = "goals.goal_type"', '{ path = "goals.priority"'),
            "goal_type is required and not asked",
        ),
        (FULL.replace('"goals.target_date",', '"goals.target_date", required = true,'), "inside a group"),
        (
            FULL.replace('["coaching_profile.meal_plan"]', '["coaching_profile.meals"]'),
            "is no vitalis.identity.v1.MealPlan",
        ),
        (FULL.replace('["coaching_profile.meal_plan"]', '["coaching_plan"]'), "is none of coaching_profile"),
        (FULL.replace('["coaching_profile.meal_plan"]', "[]"), "writes no meal_plan of coaching_profile"),
        (FULL.replace('["coaching_profile.meal_plan"]', '["health_profile"]'), "nowhere"),
        (FULL.replace('["coaching_profile", "lifestyle_baseline"]', '["coaching_profile"]'), "sleep_hours_last_night"),
        (
            FULL.replace('["coaching_profile", "lifestyle_baseline"]', '["lifestyle_baseline"]'),
            "writes no energy_level",
        ),
    ],
)
def test_a_flow_that_nobody_could_finish_stops_the_start(write: Callable[..., Path], text: str, message: str) -> None:
    assert text != FULL
    with pytest.raises(ContractError, match=re.escape(message)):
        load("2.0", write(v2_0=text))


def test_a_default_flow_that_is_not_there_stops_the_start() -> None:
    with pytest.raises(ContractError, match=r"no onboarding flow 3\.0, only 1\.0, 1\.1"):
        load("3.0")


def with_flow(settings: Settings, version: str) -> Settings:
    return settings[0].model_copy(update={"onboarding_flow": version}), settings[1]


async def test_somebody_keeps_the_flow_that_they_began_with(settings: Settings, trust: Trust) -> None:
    async with running(*settings, trust) as identity:
        ada = await somebody(identity)
        await ada.save("welcome")
    async with running(*with_flow(settings, "1.1"), trust) as identity:
        ada = Onboarder(identity, ada.caller)
        state = await ada.state()
        assert (state.flow_version, state.current_step_name) == ("1.0", "fitness_experience")
        bob = await somebody(identity, "bob@example.com")
        assert (await bob.state()).flow_version == "1.1"
        saved = await bob.save("welcome")
        assert (saved.state.flow_version, saved.next_step.name) == ("1.1", "health_profile")
        saved = await bob.save("health_profile", step=1)
        assert saved.next_step.name == "fitness_experience"
    async with running(*settings, trust) as identity:
        state = await Onboarder(identity, bob.caller).state()
        assert (state.flow_version, state.current_step) == ("1.1", 2)


def set_version(database: ServiceDatabase, version: str) -> None:
    with psycopg.connect(database.migrator_url) as owner:
        owner.execute("UPDATE onboarding_states SET flow_version = %s", [version])


async def test_whose_flow_is_gone_goes_on_in_the_default_one(settings: Settings, trust: Trust) -> None:
    # Somebody of 1.1, which has the body second, and what they have answered of the rest.
    async with running(*with_flow(settings, "1.1"), trust) as identity:
        ada = await somebody(identity)
        flow = load().get("1.1")
        assert flow
        for step in flow.steps[:5]:
            await ada.save(step.name, step=step.number)
        await ada.go_back(1)
    set_version(settings[1], "0.9")
    async with running(*settings, trust) as identity:
        ada = Onboarder(identity, ada.caller)
        state = await ada.state()
        assert (state.flow_version, state.current_step_name) == ("1.0", "dietary_preferences")
        assert list(state.completed_steps) == [0, 1, 2, 3, 10]
        assert state.answers.health_profile == ANSWERS["health_profile"]
        # Reading has changed nothing; what they save next does, with the etag that they were shown.
        with psycopg.connect(settings[1].migrator_url) as owner:
            assert owner.execute("SELECT flow_version FROM onboarding_states").fetchall() == [("0.9",)]
        saved = await ada.save("dietary_preferences", etag=state.etag)
        assert (saved.state.flow_version, saved.next_step.name) == ("1.0", "meal_plan")
        with psycopg.connect(settings[1].migrator_url) as owner:
            stored = owner.execute("SELECT flow_version, current_step, completed_steps FROM onboarding_states")
            assert stored.fetchall() == [("1.0", 5, [0, 1, 2, 3, 4, 10])]
            steps = owner.execute(
                "SELECT flow_version, step_name FROM onboarding_step_events WHERE completed_at IS NULL ORDER BY 1"
            )
            assert steps.fetchall() == [("1.0", "meal_plan"), ("1.1", "dietary_preferences")]
        for name in ORDER[5:10]:
            saved = await ada.save(name)
        # What 1.1 had asked before is not asked again.
        assert saved.next_step.name == "confirmation"


def test_what_the_contract_has_no_place_for_any_more_is_asked_again() -> None:
    answers = pb.OnboardingAnswers(hydration=ANSWERS["hydration"], goals=ANSWERS["goals"])
    text = to_text(answers)
    assert from_text(text) == answers
    gone = text.replace('"hydration":{', '"hydration":{"bottles":3,').replace(
        '"goals":{', '"star_sign":{"x":1},"goals":{'
    )
    assert from_text(gone) == answers
    retyped = text.replace('"primary_goal":"muscle_gain"', '"primary_goal":{"of":"mine"}')
    assert from_text(retyped) == pb.OnboardingAnswers(hydration=ANSWERS["hydration"])
