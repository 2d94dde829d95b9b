"""The account of an import: what became of every record of a file."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vitalis_client.cli.terminal import clean
from vitalis_client.contract.models import ImportResult, LabImportResult

# More rejected records than these are in `--json`.
SHOWN_REJECTIONS = 5
SHOWN_TYPES = 12


def print_account(console: Console, result: ImportResult) -> None:
    """The account of every record: counts, rows by table, reasons and warnings."""
    console.print(
        f"records: {result.records_read:,} read = {result.records_used:,} used + {result.records_ignored:,} ignored"
        f" + {result.records_rejected:,} rejected",
        soft_wrap=True,
    )
    if result.first_date:
        console.print(f"dates:   {result.first_date} to {result.last_date}")
    if result.rows:
        table = Table(box=None, header_style="bold")
        table.add_column("Rows")
        for name in ("stored", "updated", "unchanged", "kept"):
            table.add_column(name, justify="right")
        for name, rows in sorted(result.rows.items()):
            counts = (rows.stored, rows.updated, rows.unchanged, rows.kept)
            table.add_row(Text(clean(name)), *(f"{count:,}" for count in counts))
        console.print(table)
    _print_counts(console, "ignored, of types that Vitalis has no place for", result.ignored_by_type)
    _print_counts(console, "rejected", result.rejected_by_reason)
    _print_lines(
        console, [f"{one.record_type} at byte {one.byte_offset:,.0f}: {one.message}" for one in result.rejections]
    )
    for warning in result.warnings:
        console.print(f"warning: {clean(warning)}", markup=False, soft_wrap=True)


def print_lab_account(console: Console, result: LabImportResult) -> None:
    """The account of every record of a laboratory's file: counts, reasons, and what somebody should look at."""
    withdrawn = f" + {result.records_withdrawn:,} withdrawn" if result.records_withdrawn else ""
    console.print(
        f"records: {result.records_read:,} read = {result.records_stored:,} stored + {result.records_updated:,} updated"
        f" + {result.records_unchanged:,} unchanged + {result.records_kept:,} kept{withdrawn}"
        f" + {result.records_rejected:,} rejected",
        soft_wrap=True,
    )
    if result.first_date:
        panels = "1 new panel" if result.panels_stored == 1 else f"{result.panels_stored:,} new panels"
        console.print(f"dates:   {result.first_date} to {result.last_date}, {panels}")
    _print_counts(console, "rejected", result.rejected_by_reason)
    _print_lines(console, [f"{one.place}: {one.message}" for one in result.rejections])
    _print_counts(console, "stored, but look at", result.doubts_by_kind)
    _print_lines(console, [f"{one.place}: {one.message}" for one in result.doubts])


def _print_lines(console: Console, lines: list[str]) -> None:
    for line in lines[:SHOWN_REJECTIONS]:
        console.print(f"    {clean(line)}", markup=False, soft_wrap=True)
    if len(lines) > SHOWN_REJECTIONS:
        console.print(f"    … and more, see --json (the first {len(lines)} are kept)")


def _print_counts(console: Console, title: str, counts: dict[str, int]) -> None:
    if not counts:
        return
    console.print(f"{title}:")
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    for name, count in ranked[:SHOWN_TYPES]:
        console.print(f"  {count:>9,}  {clean(name)}", markup=False, soft_wrap=True)
    if rest := ranked[SHOWN_TYPES:]:
        console.print(f"  {sum(count for _, count in rest):>9,}  of {len(rest)} more")
