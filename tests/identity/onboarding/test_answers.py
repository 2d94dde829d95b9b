"""What holds of answers whatever they are: how far somebody is follows from them alone."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from services.identity.coaching_profile.rules import violations
from services.identity.onboarding.answers import assess, compose, from_text, only, to_text, with_section
from services.identity.onboarding.definitions import CONFIRMATION, Flow
from services.identity.onboarding.outcome import path_in_answers
from services.identity.onboarding.store import Onboarding
from tests.identity.onboarding.people import ANSWERS, FLOWS, ORDER
from vitalis.identity.v1 import onboarding_pb2 as pb

ALL = pb.OnboardingAnswers(**ANSWERS)
FLOW = FLOWS.default
SOME = st.sets(st.sampled_from(ORDER))
ANY_ORDER = st.permutations(ORDER[:-1]).map(lambda names: (*names, CONFIRMATION))


def reordered(names: tuple[str, ...]) -> Flow:
    """The default flow in another order."""
    return Flow("2.0", tuple(replace(FLOW.by_name[name], number=number) for number, name in enumerate(names)))


def answers_of(names: set[str]) -> pb.OnboardingAnswers:
    return pb.OnboardingAnswers(**{name: ANSWERS[name] for name in names})


@given(ANY_ORDER, SOME)
def test_what_is_answered_is_done_in_any_order_of_steps(names: tuple[str, ...], answered: set[str]) -> None:
    flow, answers = reordered(names), answers_of(answered)
    onboarding = Onboarding("ada", None, flow, answers, assess(flow, answers))
    assert {flow.steps[number].name for number in onboarding.completed_steps} == answered
    left = [name for name in names if name not in answered]
    assert (onboarding.next_step.name if onboarding.next_step else None) == (left[0] if left else None)
    state = onboarding.message()
    assert [step.name for step in state.missing] == left
    # What is missing is told by the name of its step.
    assert {each.field.partition(".")[0] for step in state.missing for each in step.fields} == set(left)
    assert state.etag == onboarding.message().etag


@given(ANY_ORDER)
def test_the_same_answers_make_the_same_profile_in_any_order_of_steps(names: tuple[str, ...]) -> None:
    for message in ("coaching_profile", "health_profile", "lifestyle_baseline"):
        made = compose(reordered(names), ALL, message)
        assert made == compose(FLOW, ALL, message)
        assert made == compose(FLOW, only(FLOW, ALL, message), message)


BROKEN: dict[str, list[dict[str, object]]] = {
    "goals": [
        {"primary_goal": "muscle_gain"},
        {"secondary_goal": "muscle_gain"},
        {"goals": [{"goal_type": "primary", "goal_category": "muscle_gain"}] * 2},
        {"goals": [{"goal_type": "secondary", "goal_category": "fat_loss"}]},
    ],
    "physical_constraints": [{"constraints": [{"constraint_type": "time", "severity": "mild"}]}],
    "dietary_preferences": [{"diet_type": "other"}, {"diet_type": "vegan", "diet_type_other": "raw"}],
    "meal_plan": [
        {"meals_per_day": 5},
        {"daily_calories_target": 2000, "daily_calories_min": 2100, "daily_calories_max": 1900},
        {"protein_percentage": 30},
    ],
    "meal_schedule": [{"meal_schedules": [{"meal_number": 1, "scheduled_time": "12:00"}] * 2}],
    "workout_schedule": [{"monday_workout": False}],
    "hydration": [{"reminder_start_time": "12:00", "reminder_end_time": "11:00"}],
}


@st.composite
def contradicting(draw: st.DrawFn) -> pb.OnboardingAnswers:
    """Answers of which some contradict themselves or others."""
    answers = pb.OnboardingAnswers(**ANSWERS)
    for name, wrong in BROKEN.items():
        if more := draw(st.none() | st.sampled_from(wrong)):
            answers.MergeFrom(pb.OnboardingAnswers(**{name: more}))  # type: ignore[arg-type]
    return answers


@given(contradicting(), SOME)
def test_what_a_part_of_a_profile_breaks_the_whole_breaks_too(answers: pb.OnboardingAnswers, some: set[str]) -> None:
    part = pb.OnboardingAnswers(**{name: getattr(answers, name) for name in some})
    broken, more = (set(violations(compose(FLOW, each, "coaching_profile"))) for each in (part, answers))
    assert broken <= more


@given(SOME, st.sampled_from(ORDER))
def test_a_section_is_replaced_and_nothing_else_but_the_confirmation(answered: set[str], name: str) -> None:
    before = answers_of(answered)
    after = with_section(before, name, pb.OnboardingAnswers())
    kept = answers_of(answered - {name, CONFIRMATION})
    assert {field.name for field, _ in after.ListFields()} == {field.name for field, _ in kept.ListFields()} | {name}
    after.ClearField(name)  # type: ignore[arg-type]
    assert after == kept


@given(SOME, st.text(max_size=50), st.floats(min_value=50, max_value=300))
def test_what_is_stored_is_what_was_answered(answered: set[str], text: str, height: float) -> None:
    answers = answers_of(answered)
    answers.dietary_preferences.additional_notes = text
    answers.health_profile.height_cm = height
    assert from_text(to_text(answers)) == answers


def test_every_field_of_the_profile_is_told_where_it_was_answered() -> None:
    profile = compose(FLOW, ALL, "coaching_profile")
    for field, _ in profile.ListFields():
        below = "[1].x" if field.is_repeated else ".x"
        path = path_in_answers(FLOW.steps, field.name + below)
        assert path.partition(".")[0] in FLOW.by_name
        assert path.endswith(below)
