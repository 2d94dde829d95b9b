"""What holds of answers whatever they are: how far somebody is follows from them alone."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

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
