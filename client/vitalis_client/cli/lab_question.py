"""The question whether what was read in a report is right, and what is typed in answer to it."""

import re
from typing import Any

import typer

from vitalis_client.cli import account
from vitalis_client.cli.lab_changes import typed_change
from vitalis_client.cli.lab_review import NO_DAY, NO_VALUE, Review, tell
from vitalis_client.cli.terminal import INTERRUPTED, clean, explain, hint, interrupted, say, usage
from vitalis_client.errors import VitalisError

QUESTION = "Are these your results? (y, q for later, ? for how to change them)"
HOW = """y                   stores what is shown as your results
q                   leaves it for later
3=5.6 mmol/L        corrects value 3; with its range in brackets if you like
3.unit=mmol/L       corrects a part of it; nothing behind = clears that
                    name, result, unit, range, flag, specimen, heading
3.marker=glucose    says which marker it is
-3                  leaves value 3 out; +3 brings it back
Ferritin=80 ng/mL   adds a result
date=2026-11-02     says when it was collected
                    lab=Quest, panel=CMP, fasting=yes: what else is at its head
Enter               shows everything again"""
HEAD = re.compile(r"\s*(date|lab|panel|fasting)\s*=\s*(.*?)\s*", re.IGNORECASE)
HEAD_FIELDS = {"date": "collected_date", "lab": "lab_name", "panel": "panel_name", "fasting": "fasting"}
YES, LEAVE = {"y", "yes"}, {"q", "quit", "n", "no"}
# What the person who typed something can mend at once.
MENDABLE = frozenset({"USAGE", "INVALID_FIELD", "DOCUMENT_INCOMPLETE"})


def ask(under_review: Review, url: str, *, again: bool) -> bool:
    """Asks until the results are confirmed, or are left for later: False then."""
    if under_review.document.parse_status == "failed":
        say(f"it could not be read: {clean(under_review.document.error_message or '')}")
    later = f"go on with: {hint(f'labs review {under_review.document.id}', url)}"
    try:
        while True:
            typed = account.line(QUESTION).strip()
            if typed.lower() in LEAVE:
                say(f"nothing is stored yet; {later}")
                return False
            if answered(under_review, typed, again=again):
                return True
    except (KeyboardInterrupt, typer.Abort) as stopped:
        say(f"\n{later}")
        raise typer.Exit(INTERRUPTED if interrupted(stopped) else 0) from None


def answered(under_review: Review, typed: str, *, again: bool) -> bool:
    """Does what was typed; whether that has confirmed the report."""
    before = under_review.values if typed else None
    try:
        if typed.lower() in YES:
            return confirmed(under_review, again=again)
        if typed == "?":
            for line in HOW.splitlines():
                say(line)
            return False
        if head := HEAD.fullmatch(typed):
            under_review.set_header(**header(head[1].lower(), head[2]))
        elif typed:
            under_review.make([typed_change(typed)])
    except VitalisError as error:
        if error.reason == "ETAG_MISMATCH":
            say("it has changed meanwhile; this is how it stands now")
            under_review.look()
            before = None
        elif error.reason in MENDABLE:
            say(f"vitalis: {explain(error)}")
            return False
        else:
            raise
    tell(under_review, before)
    return False


def header(part: str, typed: str) -> dict[str, Any]:
    """A part of a report's head as it is typed. Raises VitalisError (USAGE)."""
    if part == "fasting":
        if typed.lower() not in ("y", "yes", "n", "no"):
            raise usage("fasting is yes or no")
        return {"fasting": typed.lower() in YES}
    return {HEAD_FIELDS[part]: typed}


def confirmed(under_review: Review, *, again: bool) -> bool:
    """Confirms the report, once its day is known; a panel that is there takes its results if the person says so."""
    if not under_review.living:
        raise usage(f"{NO_VALUE}; add what it says, such as Ferritin=80 ng/mL")
    if not under_review.header.get("collected_date"):
        say(NO_DAY)
        under_review.set_header(collected_date=account.ask("Collected on (YYYY-MM-DD)"))
    try:
        under_review.confirm(override=again)
    except VitalisError as error:
        if error.reason != "PANEL_REPEATED":
            raise
        question = "There is a panel of that day and laboratory. Shall it take these results?"
        if not typer.confirm(question, err=True):
            return False
        under_review.confirm(override=True)
    return True
