"""The review of a report: what was read in it is shown, corrected, left out, added to, and confirmed."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from vitalis_client.api import Vitalis
from vitalis_client.cli.lab_changes import Change
from vitalis_client.cli.lab_trends import SLUG, slug_of
from vitalis_client.cli.labs import REPEATED, whose
from vitalis_client.cli.tables import Column, print_table
from vitalis_client.cli.terminal import clean, say, stdout, usage
from vitalis_client.cli.units import trim, unit_words
from vitalis_client.contract.models import Document, DocumentValue
from vitalis_client.errors import VitalisError

# How the server numbers the values that are not left out.
PLACE = re.compile(r"document_values\[(\d+)\]")
# Of what stands in the way of a confirmation.
MOST_TOLD = 10
NO_VALUE = "there is no value in it"
NO_DAY = "the report does not say when it was collected"
# What is doubtful, in words.
DOUBTS = {
    "no_result": "has no result",
    "not_a_number": "the result is no number",
    "name_unknown": "no marker of that name is known",
    "unit_unknown": "this marker is not measured in that unit",
    "flag_unknown": "it is not known what the flag means",
    "duplicate": "stands there twice: leave one out",
    "implausible": "is far from what is possible: look at the unit and the decimal sign",
    "not_in_text": "does not stand in the report's text",
    "low_confidence": "was hard to read",
}
VALUES: Sequence[Column[DocumentValue]] = (
    Column("No.", lambda value: str(value.position + 1)),
    Column("", lambda value: "?" if value.doubts else "", left=True),
    Column("Marker", lambda value: clean(value.raw_name), left=True),
    Column("Result", lambda value: clean(value.value)),
    Column("Unit", lambda value: clean(value.unit or ""), left=True),
    Column("Range", lambda value: clean(value.ref_range_text or ""), left=True),
    Column("Flag", lambda value: clean(value.flag or ""), left=True),
    Column("Known as", lambda value: clean(value.biomarker or "not known"), left=True),
    Column("Sure", lambda value: "" if value.confidence is None else f"{value.confidence:.0%}"),
    Column("In its usual unit", lambda value: canonical(value)),
    Column("Specimen", lambda value: clean(value.specimen or ""), left=True),
)


class Review:
    """One report, as it was seen last: what has changed since is not confirmed unseen."""

    def __init__(self, api: Vitalis, document: Document) -> None:
        self._api = api
        self.document = document
        self.values: dict[int, DocumentValue] = {}
        self.look()

    def look(self) -> None:
        """Reads the report as it is now."""
        self.document = self._api.labs.get_document(self.document.id)
        values = self._api.labs.document_values(self.document.id, dropped=True)
        self.values = {value.position + 1: value for value in values}

    @property
    def living(self) -> list[DocumentValue]:
        """The values that are not left out."""
        return [value for value in self.values.values() if value.deleted_at is None]

    def check(self, change: Change) -> None:
        """Raises VitalisError (USAGE) for a number that no value has."""
        if change.number is not None and change.number not in self.values:
            raise usage(f"there is no value {change.number}")

    def make(self, changes: Sequence[Change]) -> None:
        """Makes changes, all if the numbers are those of values, else none."""
        for change in changes:
            self.check(change)
        for change in changes:
            self._make(change)
        if changes:
            self.look()

    def _make(self, change: Change) -> None:
        fields = dict(change.fields)
        if "biomarker" in fields:
            fields["biomarker"] = self._slug(fields["biomarker"])
        if change.number is None:
            self._api.labs.add_document_value(self.document.id, fields)
            return
        value = self.values[change.number]
        if change.dropped:
            self._api.labs.drop_document_value(value.id)
        elif change.dropped is False:
            self._api.labs.restore_document_value(value.id)
        else:
            self._api.labs.update_document_value(value.id, fields, clear=change.clear)

    def _slug(self, marker: str) -> str:
        """The dictionary's name of a marker, of that or of a printed one."""
        try:
            if SLUG.fullmatch(marker):
                return self._api.labs.biomarker(marker).slug
        except VitalisError as error:
            if error.reason != "NOT_FOUND":
                raise
        return slug_of(self._api, marker)

    @property
    def header(self) -> dict[str, Any]:
        """The head of the panel that it is to become."""
        head = self.document.report_header
        return head.model_dump(mode="json", exclude_none=True) if head else {}

    def set_header(self, **fields: Any) -> None:
        """Changes the head; another day takes the printed time of collection with it. USAGE for what is no day."""
        before = self.header
        wanted = {**before, **fields}
        if collected := wanted.get("collected_date"):
            wanted["collected_date"] = day(collected).isoformat()
        if wanted.get("collected_date") != before.get("collected_date"):
            wanted.pop("collected_at", None)
        if wanted != before:
            etag = self.document.etag
            self.document = self._api.labs.set_report_header(self.document.id, wanted, etag=etag)

    def confirm(self, *, override: bool) -> Document:
        """Makes a panel of it, with the person's sex and age unless the report has them."""
        collected = self.header.get("collected_date")
        if not collected:
            raise usage(f"{NO_DAY}: give the day with --date")
        self.set_header(**{**whose(self._api, day(collected)), **self.header})
        try:
            self.document = self._api.labs.confirm_document(
                self.document.id, etag=self.document.etag, override=override
            )
        except VitalisError as error:
            self._explain(error)
            raise
        return self.document

    def _explain(self, error: VitalisError) -> None:
        """Says it in the numbers and the options that a person sees."""
        if error.reason == "PANEL_REPEATED":
            error.message = REPEATED
        elif error.reason == "DOCUMENT_INCOMPLETE":
            broken = [self._numbered(f"{one.field}: {one.description}") for one in error.violations]
            more = f"; and {len(broken) - MOST_TOLD} more" if len(broken) > MOST_TOLD else ""
            error.message, error.violations = "; ".join(broken[:MOST_TOLD]) + more, ()

    def _numbered(self, text: str) -> str:
        living = self.living

        def number(found: re.Match[str]) -> str:
            return f"value {living[int(found[1])].position + 1}"

        return PLACE.sub(number, text).replace("document_values", "values")


def day(text: str) -> date:
    """A day as it is typed. Raises VitalisError (USAGE)."""
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise usage(f"{clean(text)} is no day such as 2026-11-02") from None


def tell(review: Review, before: Mapping[int, DocumentValue] | None = None) -> None:
    """The head of a report, its values, what is doubtful about them, and what is left out.

    With the values as they were `before` a change, only those that are others now.
    """
    console = stdout()
    console.print(head_line(review.document), markup=False, soft_wrap=True)
    living = review.living
    shown = living if before is None else [value for value in living if differs(value, before)]
    if shown:
        print_table(VALUES, shown)
    for value in shown:
        if value.doubts:
            name = f"{value.position + 1:>3} ? {clean(value.raw_name)} {clean(value.value)}"
            console.print(f"{name}: {'; '.join(doubts(value))}", markup=False, soft_wrap=True)
    dropped = [value for value in review.values.values() if value.deleted_at is not None]
    if dropped:
        names = ", ".join(f"{value.position + 1} {clean(value.raw_name)}" for value in dropped)
        console.print(f"left out: {names}", markup=False, soft_wrap=True)
    doubtful = sum(bool(value.doubts) for value in living)
    say(f"{counted(len(living))}, {doubtful or 'none'} of them doubtful" if living else NO_VALUE)


def head_line(document: Document) -> str:
    head = document.report_header
    where = clean((head.lab_name if head else None) or document.provider_name or "")
    panel = clean((head.panel_name if head else None) or "")
    collected = f"collected {head.collected_date}" if head and head.collected_date else NO_DAY
    fasting = {True: "fasting", False: "not fasting", None: ""}[head.fasting if head else None]
    parts = (clean(document.original_filename), where, panel, collected, fasting)
    return ", ".join(part for part in parts if part)


def differs(value: DocumentValue, before: Mapping[int, DocumentValue]) -> bool:
    """Whether a value says something else than before, or was not there, or was left out."""
    was = before.get(value.position + 1)
    unseen = {"updated_at", "etag"}
    return was is None or value.model_dump(exclude=unseen) != was.model_dump(exclude=unseen)


def counted(number: int) -> str:
    return "1 value" if number == 1 else f"{number} values"


def doubts(value: DocumentValue) -> list[str]:
    """What is doubtful about a value, in words."""
    return [words(value, doubt) for doubt in value.doubts]


def words(value: DocumentValue, doubt: str) -> str:
    if doubt == "name_unsure":
        if value.biomarker:
            return f"is taken for {clean(value.biomarker)}, which is not sure"
        return f"may be {clean(' or '.join(value.candidates)) or 'several markers'}"
    return DOUBTS.get(doubt, clean(doubt).replace("_", " "))


def canonical(value: DocumentValue) -> str:
    if value.value_canonical is None:
        return ""
    unit = clean(unit_words(value.canonical_unit or ""))
    return f"{value.comparator}{trim(value.value_canonical)} {unit}".rstrip()
