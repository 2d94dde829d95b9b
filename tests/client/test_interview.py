"""Questions that the server describes, asked one after the other."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitalis_client.cli.onboarding.answers import explain, read, show
from vitalis_client.cli.onboarding.interview import Answers, Back, Interview, Leave
from vitalis_client.cli.units import Units
from vitalis_client.contract.models import OnboardingField
from vitalis_client.errors import Violation

METRIC, IMPERIAL = Units("kg", "cm"), Units("lbs", "in")
LEVELS = ["beginner", "intermediate", "advanced"]


def field(name: str, type_: str = "text", **values: Any) -> OnboardingField:
    return OnboardingField(name=name, path=name, type=type_, question=f"{name}?", **values)


FAT = field("fat", "number", minimum=0, exclusive_minimum=True, maximum=50)
GOALS = field(
    "goals",
    "group",
    repeated=True,
    max_items=2,
    fields=[
        field("kind", "choice", required=True, allowed_values=["primary", "secondary"]),
        field("target_weight_kg", "number", minimum=20, maximum=500),
        field("slots", "group", repeated=True, fields=[field("start", "time", required=True)]),
    ],
)
MACROS = field("macros", "group", fields=[field("calories", "integer", required=True), FAT])


class Typist:
    """Types what a test gives it, and remembers what it was asked and told."""

    def __init__(self, *lines: str) -> None:
        self.lines = list(lines)
        self.asked: list[str] = []
        self.told: list[str] = []

    def __call__(self, prompt: str) -> str:
        self.asked.append(prompt)
        return self.lines.pop(0)

    def fill(self, fields: list[OnboardingField], answers: Answers | None = None, units: Units = METRIC) -> Answers:
        """The answers once everything was asked, and everything that was typed was read."""
        answers = {} if answers is None else answers
        Interview(units, self, self.told.append).all(fields, answers)
        assert self.lines == []
        return answers


@pytest.mark.parametrize(
    ("asked", "typed", "value"),
    [
        (field("level", "choice", allowed_values=LEVELS), "beginner", "beginner"),
        (field("level", "choice", allowed_values=LEVELS), "2", "intermediate"),
        (field("level", "choice", allowed_values=LEVELS), "Adv", "advanced"),
        (field("goal", "choice", allowed_values=["fat_loss", "fat"]), "Fat Loss", "fat_loss"),
        (field("goal", "choice", allowed_values=["fat_loss", "fat"]), "fat", "fat"),
        (field("tags", "choice", repeated=True, allowed_values=LEVELS), "beg, 3", ["beginner", "advanced"]),
        (field("foods", repeated=True), " milk , eggs,, ", ["milk", "eggs"]),
        (field("agreed", "boolean"), "Y", True),
        (field("agreed", "boolean"), "no", False),
        (field("meals", "integer"), "4", 4),
        (field("offset", "integer"), "-15", -15),
        (field("hours", "number"), "7,5", 7.5),
        (FAT, "50", 50.0),
        (field("weight_kg", "number"), "154 lb", 69.85),
        (field("day", "date"), "2027-06-30", "2027-06-30"),
        (field("at", "time"), "7:30", "07:30"),
        (field("at", "time"), "7.30 pm", "19:30"),
        (field("at", "time"), "12 am", "00:00"),
        (field("at", "time"), "18:00:00", "18:00"),
        (field("name"), 'Ada\'s "best"', 'Ada\'s "best"'),
        (field("code", pattern="^[a-z]+$"), "abc", "abc"),
        # What Python's expressions do not know is left to the server.
        (field("code", pattern=r"^\p{L}+$"), "abc", "abc"),
        (field("new", "hologram"), "as it is", "as it is"),
    ],
)
def test_what_is_typed_becomes_a_value(asked: OnboardingField, typed: str, value: Any) -> None:
    assert read(asked, typed, METRIC) == value


@pytest.mark.parametrize(
    ("asked", "typed", "said"),
    [
        (field("level", "choice", allowed_values=LEVELS), "", "is one of: 1 beginner, 2 intermediate, 3 advanced"),
        (field("level", "choice", allowed_values=LEVELS), "4", "is one of: "),
        (field("level", "choice", allowed_values=["fat_loss", "fat_gain"]), "fat", "is one of: "),
        (field("agreed", "boolean"), "maybe", "is y or n"),
        (field("meals", "integer"), "4.0", "is a whole number"),
        (field("hours", "number"), "1e3", "is a number"),
        (field("hours", "number"), "nan", "is a number"),
        (FAT, "0", "is above 0 to 50"),
        (FAT, "50.1", "is above 0 to 50"),
        (field("weight_kg", "number", minimum=20), "19", "is from 20 kg"),
        (field("weight_kg", "number"), "seventy", "is a number, in kg unless a unit follows it"),
        (field("day", "date"), "2027-02-30", "is a date, such as 2027-06-30"),
        (field("at", "time"), "24:00", "is a time of day"),
        (field("at", "time"), "13 pm", "is a time of day"),
        (field("at", "time"), "7", "is a time of day"),
        (field("name", min_length=2), "A", "has 2 characters at the least"),
        (field("name", max_length=2), "Ada", "has 2 characters at the most"),
        (field("code", pattern="^[a-z]+$", example="abc"), "A1", "is written as abc"),
        (field("code", pattern="^[a-z]+$"), "A1", "is not written as it should be"),
        (field("foods", repeated=True, max_items=1), "milk, eggs", "takes 1 values at the most"),
    ],
)
def test_what_is_no_value_is_told(asked: OnboardingField, typed: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        read(asked, typed, METRIC)
    assert str(caught.value).startswith(said)


FIELDS = st.sampled_from(
    [
        (field("level", "choice", allowed_values=LEVELS), st.sampled_from(LEVELS)),
        (field("agreed", "boolean"), st.booleans()),
        (field("meals", "integer"), st.integers(-1000, 100_000)),
        (field("at", "time"), st.times().map(lambda at: at.strftime("%H:%M"))),
        (field("day", "date"), st.dates().map(str)),
        (field("foods", repeated=True), st.lists(st.from_regex("[a-z]([a-z ]*[a-z])?", fullmatch=True))),
    ]
)


@given(FIELDS.flatmap(lambda pair: st.tuples(st.just(pair[0]), pair[1])))
def test_what_is_shown_reads_back(case: tuple[OnboardingField, Any]) -> None:
    asked, value = case
    assert read(asked, show(asked, value, METRIC), METRIC) == value


def test_what_can_be_answered_is_explained() -> None:
    assert explain(FAT, METRIC) == "a number, above 0 to 50"
    weight = field("weight_kg", "number", minimum=20, maximum=500)
    assert explain(weight, IMPERIAL) == "a number in lbs, or with its unit, from 44.1 lbs to 1102.3 lbs"
    assert explain(field("foods", repeated=True, example="milk"), METRIC) == (
        "several with commas between, each a text, such as milk"
    )


def test_enter_keeps_and_a_dash_clears_and_a_question_mark_explains() -> None:
    fields = [field("name", required=True), field("note"), field("meals", "integer", default_value="3"), FAT]
    typist = Typist("", "-", "", "?", "20")
    assert typist.fill(fields, {"name": "Ada", "note": "x"}) == {"name": "Ada", "fat": 20.0}
    assert typist.asked[:3] == ["name? [Ada]", "note? [x]", "meals? [3]"]
    assert typist.told == ["  a number, above 0 to 50"]


def test_what_has_to_be_answered_is_asked_until_it_is() -> None:
    typist = Typist("", "-", "x", "7")
    assert typist.fill([field("meals", "integer", required=True)]) == {"meals": 7}
    assert len(typist.asked) == 4
    assert typist.told[0] == "  this has to be answered: a whole number"
    # A default answers for it.
    assert Typist("").fill([field("reminders", "boolean", required=True, default_value="true")]) == {}


def test_a_question_says_its_unit_and_a_refusal_the_rule() -> None:
    typist = Typist("tall", "5 ft 10", "7,000", "7")
    answers = typist.fill([field("height_cm", "number"), field("meals", "integer")], units=IMPERIAL)
    assert answers == {"height_cm": 177.8, "meals": 7}
    assert typist.asked[0] == "height_cm? (in)"
    assert typist.told[0].startswith("  the answer is a number, in in")
    assert typist.told[1] == "  the answer is a whole number, without a unit and thousands separators"


def test_a_word_that_is_a_command_is_text_in_quotes() -> None:
    assert Typist('"back"').fill([field("note")]) == {"note": "back"}


def test_back_goes_one_question_back_and_out_of_the_first() -> None:
    typist = Typist("a", "back", "b", "c")
    assert typist.fill([field("one"), field("two")]) == {"one": "b", "two": "c"}
    with pytest.raises(Back):
        Typist("back").fill([field("one")])
    for word in ("q", "Quit"):
        with pytest.raises(Leave):
            Typist("a", word).fill([field("one"), field("two")])


def test_a_part_is_asked_for_if_it_is_wanted() -> None:
    assert Typist("").fill([MACROS]) == {}
    assert Typist("hm", "y", "2000", "").fill([MACROS]) == {"macros": {"calories": 2000}}
    assert Typist("", "", "").fill([MACROS], {"macros": {"calories": 1}}) == {"macros": {"calories": 1}}
    assert Typist("n").fill([MACROS], {"macros": {"calories": 1}}) == {}
    # Back from its first question asks whether it is wanted at all.
    with pytest.raises(Back):
        Typist("y", "back").fill([MACROS])


def test_a_list_is_added_to_changed_and_taken_from() -> None:
    typist = Typist("y", "primary", "154", "y", "7:30", "", "y", "2", "", "", "y", "1", "", "", "", "-2", "3", "")
    goals = typist.fill([GOALS], units=IMPERIAL)
    assert goals == {"goals": [{"kind": "primary", "target_weight_kg": 69.85, "slots": [{"start": "07:30"}]}]}
    assert "  1. primary, 154 lbs, 07:30" in typist.told
    assert "  there can be 2 at the most" in typist.told
    assert "  that is none of these" in typist.told


def test_an_entry_that_is_left_is_not_kept() -> None:
    assert Typist("y", "back", "").fill([GOALS]) == {"goals": []}
    assert Typist("1", "secondary", "back", "back", "").fill([GOALS], {"goals": [{"kind": "primary"}]}) == {
        "goals": [{"kind": "primary"}]
    }


def test_a_list_that_has_to_have_an_entry_begins_with_one() -> None:
    needed = GOALS.model_copy(update={"required": True})
    typist = Typist("back", "", "y", "primary", "", "", "")
    assert typist.fill([needed]) == {"goals": [{"kind": "primary", "slots": []}]}
    assert "  there has to be one" in typist.told


def again(fields: list[OnboardingField], answers: Answers, paths: list[str], *lines: str) -> tuple[bool, list[str]]:
    typist = Typist(*lines)
    violations = [Violation(path, "is wrong") for path in paths]
    asked = Interview(METRIC, typist, typist.told.append).again(fields, answers, violations)
    assert typist.lines == []
    return asked, typist.asked


@pytest.mark.parametrize(
    ("paths", "lines", "asked"),
    [
        (["name"], ["Bob"], ["name? [Ada]"]),
        (["goals[1].target_weight_kg", "goals[1].target_weight_kg"], ["70"], ["target_weight_kg? [500 kg]"]),
        (["goals[0].slots[0].start", "macros.fat"], ["8:00", "9"], ["start? [07:30]", "fat?"]),
        # Of an entry as a whole: the list is asked for, and so is a part that is not there.
        (["goals[1]"], [""], ["  y adds one, its number changes one, -1 removes the first, Enter goes on"]),
        (["goals[7].kind"], [""], ["  y adds one, its number changes one, -1 removes the first, Enter goes on"]),
        (["foods[2]"], [""], ["foods? [milk]"]),
    ],
)
def test_only_what_is_wrong_is_asked_again(paths: list[str], lines: list[str], asked: list[str]) -> None:
    answers: Answers = {
        "name": "Ada",
        "foods": ["milk"],
        "goals": [{"kind": "primary", "slots": [{"start": "07:30"}]}, {"kind": "secondary", "target_weight_kg": 500}],
        "macros": {"calories": 1},
    }
    fields = [field("name"), field("foods", repeated=True), GOALS, MACROS]
    assert again(fields, answers, paths, *lines) == (True, asked)


def test_a_violation_of_what_nobody_asked_for_asks_nothing() -> None:
    assert again([field("name")], {}, ["", "other.name"]) == (False, [])


def test_what_the_server_writes_does_not_steer_the_terminal() -> None:
    evil = OnboardingField(name="x", path="x", type="choice", question="\x1b[2J?", allowed_values=["\x1b]0;a"])
    typist = Typist("1")
    typist.fill([evil])
    assert "\x1b" not in "".join(typist.asked + typist.told)
