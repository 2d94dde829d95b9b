"""The results: kept in results.json, printed as lines, and written as a table into README.md."""

import json
from pathlib import Path

from benchmarks.figures import Figure, Report

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"
README = HERE / "README.md"
BEGIN, END = "<!-- results: written by `make bench` -->", "<!-- end of results -->"
HEAD = (
    "| | Vitalis | target | reached | beside it | its value | ratio |\n"
    "|---|---:|---:|---|---|---:|---:|\n"
)  # fmt: skip


def keep(name: str, report: Report) -> None:
    """Stores a benchmark's report in place of its last one, and writes all of them into the README."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    kept[name] = report.as_json()
    RESULTS.write_text(json.dumps(kept, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    sections = [_section(key, Report.from_json(content)) for key, content in sorted(kept.items())]
    before, rest = README.read_text().split(BEGIN)
    _, after = rest.split(END)
    README.write_text(before + BEGIN + "\n\n" + "\n".join(sections) + "\n" + END + after)


def line(figure: Figure) -> str:
    """A figure for the terminal."""
    parts = [f"  {figure.what}: {number(figure.value)} {figure.unit}"]
    if figure.target is not None:
        parts.append(f"target {_target(figure)}: {'reached' if figure.reached else 'MISSED'}")
    if figure.peer and figure.ratio is not None:
        parts.append(f"{figure.peer.name}: {number(figure.peer.value)} {figure.unit}, ratio {figure.ratio:.2f}")
    return "; ".join(parts)


def _section(name: str, report: Report) -> str:
    return f"### {name}\n\n{report.date}, {report.machine}\n\n{HEAD}{''.join(map(_row, report.figures))}"


def _row(figure: Figure) -> str:
    peer = figure.peer
    cells = [
        figure.what,
        f"**{number(figure.value)}** {figure.unit}{_spread(figure.runs)}",
        _target(figure),
        {None: "", True: "yes", False: "**no**"}[figure.reached],
        peer.name if peer else "",
        f"{number(peer.value)}{_spread(peer.runs)}" if peer else "",
        "" if figure.ratio is None else f"{figure.ratio:.2f}",
    ]
    return f"| {' | '.join(cells)} |\n"


def _spread(runs: list[float]) -> str:
    return f" ({number(min(runs))} to {number(max(runs))})" if len(runs) > 1 else ""


def _target(figure: Figure) -> str:
    if figure.target is None:
        return ""
    return f"{'≥' if figure.better == 'more' else '≤'} {number(figure.target)}"


def number(value: float) -> str:
    """Three digits that say something, and no more."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
