"""`python -m examples.apple_health --days 600 --seed 1 --end 2026-11-18 --out export.zip`."""

import argparse
from datetime import UTC, date, datetime
from pathlib import Path

from examples.apple_health import write_export


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.apple_health", description=__doc__)
    parser.add_argument("--days", type=int, default=600, help="how many days, up to and with --end")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same export")
    parser.add_argument("--end", type=date.fromisoformat, default=None, help="the last day, YYYY-MM-DD; today")
    parser.add_argument("--out", type=Path, default=Path("export.zip"))
    parser.add_argument("--xml", action="store_true", help="only the XML, not the zip")
    dtd = parser.add_mutually_exclusive_group()
    dtd.add_argument("--broken-dtd", action="store_true", default=True, help="the DTD as iOS 16 writes it (default)")
    dtd.add_argument("--plain", action="store_true", help="a well-formed DTD")
    parser.add_argument("--bad-records", action="store_true", help="with records that cannot be used")
    arguments = parser.parse_args()
    with arguments.out.open("wb") as out:
        truth = write_export(
            out,
            arguments.days,
            arguments.seed,
            arguments.end or datetime.now(UTC).date(),
            xml=arguments.xml,
            broken_dtd=not arguments.plain,
            bad_records=arguments.bad_records,
        )
    print(f"{arguments.out}: {truth.records_read} records, {truth.xml_bytes / 1e6:.1f} MB of XML")


if __name__ == "__main__":
    main()
