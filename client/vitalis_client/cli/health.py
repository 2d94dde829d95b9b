"""Commands about the health profile and allergies."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from vitalis_client.api import DEFAULT_URL, Vitalis
from vitalis_client.cli.array import print_array
from vitalis_client.cli.assign import changed
from vitalis_client.cli.outline import outline
from vitalis_client.cli.tables import Column, print_table
from vitalis_client.cli.terminal import Json, Url, clean, connect, hint, print_json, say, stdout
from vitalis_client.cli.units import preferred
from vitalis_client.contract.models import Allergy, HealthProfile
from vitalis_client.errors import VitalisError

PANEL = "Health and coaching"
HIDDEN = frozenset({"etag", "updated_at", "absent_because"})
# What stands in the way of telling how much energy somebody needs, and the command that helps.
ABSENT = {
    "no_date_of_birth": ("your date of birth is missing", "me --set date_of_birth=1990-12-10"),
    "no_sex": ("your sex is missing", "me --set biological_sex=female"),
    "no_formula_for_sex": ("there is no formula for the sex that you state", ""),
    "no_height": ("your height is missing", "health set height_cm=178"),
    "no_weight": ("your weight is missing", "health set weight_kg=70"),
    "no_activity_level": ("your activity level is missing", "health set activity_level=moderate"),
    "outside_formula": ("the formula gives nothing sensible for these measures", ""),
}
Person = Annotated[
    str, typer.Option(metavar="ID", help="Of this person, who shares with you (vitalis shares).", show_default=False)
]
AllergyId = Annotated[
    str, typer.Argument(metavar="ID", help="The allergy's id, as `vitalis allergies` lists it.", show_default=False)
]
Diagnosed = Annotated[str, typer.Option(metavar="DATE", help="Since when it is known.", show_default=False)]
Reaction = Annotated[str, typer.Option(help="What happens.", show_default=False)]
Notes = Annotated[str, typer.Option(help="What else should be known.", show_default=False)]
health = typer.Typer(invoke_without_command=True)
allergies = typer.Typer(invoke_without_command=True)


class Severity(StrEnum):
    """How severe a reaction can be."""

    MILD = "MILD"
    MODERATE = "MODERATE"
    SEVERE = "SEVERE"
    LIFE_THREATENING = "LIFE_THREATENING"


COLUMNS: Sequence[Column[Allergy]] = (
    Column("Id", lambda allergy: allergy.id, left=True),
    Column("Allergy", lambda allergy: clean(allergy.name), left=True),
    Column("Severity", lambda allergy: severity_of(allergy), left=True),
    Column("Matched to", lambda allergy: match(allergy), left=True),
    Column("Since", lambda allergy: allergy.diagnosed_date or "", left=True),
    Column("Reaction", lambda allergy: clean(allergy.reaction or ""), left=True),
    Column("From", lambda allergy: clean(allergy.source).replace("_", " "), left=True),
    Column("Notes", lambda allergy: clean(allergy.notes or ""), left=True),
)


def add_to(app: typer.Typer) -> None:
    help_ = "Show your height, weight and activity, and the energy that follows from them."
    app.add_typer(health, name="health", help=help_, rich_help_panel=PANEL)
    help_ = "Show your allergies, and whether each is an allergen that Vitalis knows."
    app.add_typer(allergies, name="allergies", help=help_, rich_help_panel=PANEL)


@health.callback()
def show_health(context: typer.Context, person: Person = "", url: Url = DEFAULT_URL, json: Json = False) -> None:
    if context.invoked_subcommand is None:
        with connect(url) as api:
            show(api, api.health.profile(person=person), url, json)


@health.command("set")
def set_health(
    changes: Annotated[
        list[str], typer.Argument(metavar="FIELD=VALUE", help="Such as height_cm=178 or weight_kg='154 lb'.")
    ],
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Change it; a number is in the unit of your preferences unless a unit follows it, and FIELD= clears."""
    with connect(url) as api:
        values = changed(api.health.profile(), changes, preferred(api.preferences()))
        given = {name: value for name, value in values.items() if value is not None}
        show(api, api.health.update_profile(clear=[name for name in values if name not in given], **given), url, json)


def show(api: Vitalis, profile: HealthProfile, url: str, json: bool) -> None:
    if json:
        print_json(profile)
        return
    lines = list(outline(profile.model_dump(mode="json", exclude_none=True), preferred(api.preferences()), HIDDEN))
    for line in lines:
        stdout().print(line, markup=False, soft_wrap=True)
    for reason in profile.absent_because:
        what, command = ABSENT.get(reason, (clean(reason), ""))
        say(f"{what}: {hint(command, url)}" if command else what)


@allergies.callback()
def show_allergies(context: typer.Context, person: Person = "", url: Url = DEFAULT_URL, json: Json = False) -> None:
    if context.invoked_subcommand is not None:
        return
    with connect(url) as api:
        rows = api.health.allergies(person=person)
        if json:
            print_array(rows)
            return
        listed = list(rows)
        if not listed:
            say(f"no allergy is stated; add one with: {hint('allergies add NAME --severity SEVERE', url)}")
            return
        print_table(COLUMNS, listed)


@allergies.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What it is, in your own words.")],
    severity: Annotated[Severity, typer.Option(help="How severe a reaction can be.", case_sensitive=False)],
    diagnosed: Diagnosed = "",
    reaction: Reaction = "",
    notes: Notes = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Add an allergy."""
    with connect(url) as api:
        values = {"diagnosed_date": diagnosed, "reaction": reaction, "notes": notes}
        given = {field: value for field, value in values.items() if value}
        try:
            added = api.health.add_allergy(name, severity.value, **given)
        except VitalisError as error:
            if error.reason == "ALREADY_EXISTS":
                error.message = f"that is among your allergies already; change it with: {hint('allergies set ID', url)}"
            raise
        if json:
            print_json(added)
        elif added.matched:
            say(f"{clean(added.name)}: matched to {match(added)}")
        else:
            say(f"{clean(added.name)}: kept as you wrote it; it matches no allergen that Vitalis knows")


@allergies.command("set")
def set_allergy(
    allergy_id: AllergyId,
    severity: Annotated[
        Severity | None, typer.Option(help="How severe a reaction can be.", case_sensitive=False)
    ] = None,
    diagnosed: Diagnosed = "",
    reaction: Reaction = "",
    notes: Notes = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Change what is stated of an allergy, such as the severity of one that comes from your diet."""
    with connect(url) as api:
        values = {"severity": severity, "diagnosed_date": diagnosed, "reaction": reaction, "notes": notes}
        changed_ = api.health.update_allergy(allergy_id, **{field: value for field, value in values.items() if value})
        if json:
            print_json(changed_)
        else:
            say(f"{clean(changed_.name)}: {severity_of(changed_)}")


@allergies.command("remove")
def remove(
    allergy_id: AllergyId,
    url: Url = DEFAULT_URL,
) -> None:
    """Take an allergy out."""
    with connect(url) as api:
        api.health.delete_allergy(allergy_id)
        say("taken out")


def severity_of(allergy: Allergy) -> str:
    return (allergy.severity or "not stated: treated as severe").lower().replace("_", " ")


def match(allergy: Allergy) -> str:
    """The allergen, and how sure it is unless it is certain; or that there is none."""
    if not allergy.matched:
        return "not matched"
    sure = "" if allergy.match_confidence in (None, 1) else f" ({allergy.match_confidence:.0%} sure)"
    return clean(allergy.matched_allergen or "") + sure
