"""`make demo`: everything brought up, two years imported, thirty days shown and compared with what went in.

Stays up until Ctrl-C; with DEMO_EXIT=1 it stops when it has shown everything,
with exit code 1 if a value is not what the generator put in.

Its data directory is VITALIS_DATA_DIR if that is set, and else one beside that
of `make up`. Every run signs up another person. If port 8080 is taken, by `make
up` for instance, the demo takes another.
"""

import os
import secrets
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path

from rich.console import Console

from examples.apple_health import DayTruth, NightTruth, Truth, write_export
from examples.demo_labs import confirm_report, enter, print_trends
from local.__main__ import Interrupted, interruptible
from local.directory import LocalError, default_directory
from local.log import MergedLog
from local.mailbox import wait_for_code
from local.postgres import free_port
from local.runner import GATEWAY_PORT, Stack, is_free
from vitalis_client import Vitalis, VitalisError
from vitalis_client.cli.accounting import print_account
from vitalis_client.cli.imports import headline
from vitalis_client.cli.progress import bar
from vitalis_client.cli.tables import DAYS, table
from vitalis_client.cli.terminal import explain, size, stdout
from vitalis_client.contract.models import Day, Import, WearableSleep

DATA_DAYS = 730
SHOWN_DAYS = 30
SEED = 20
# Of what the processes said, how much is shown when something went wrong.
LOG_LINES = 40

Number = float | None

# What the API should say of a day, from what the generator knows.
DAY_VALUES: Mapping[str, Callable[[DayTruth], Number]] = {
    "steps": lambda day: day.steps,
    "distance_m": lambda day: day.distance_m,
    "floors_climbed": lambda day: day.floors_climbed,
    "active_calories_kcal": lambda day: day.active_calories_kcal,
    "total_calories_kcal": lambda day: day.total_calories_kcal,
    "active_minutes": lambda day: day.active_minutes,
    "resting_hr_bpm": lambda day: day.resting_hr_bpm,
    "max_hr_bpm": lambda day: day.heart_rate_bpm.highest,
    "hrv_sdnn_ms": lambda day: day.hrv_sdnn_ms.mean,
    "spo2_avg_pct": lambda day: day.spo2_pct.mean,
    "spo2_min_pct": lambda day: day.spo2_pct.lowest,
    "respiratory_rate_avg": lambda day: day.respiratory_rate.mean,
    "vo2_max_ml_kg_min": lambda day: day.vo2_max_ml_kg_min,
    "skin_temp_deviation_c": lambda day: day.skin_temp_deviation_c,
}
NIGHT_VALUES: Mapping[str, Callable[[NightTruth], Number]] = {
    "total_sleep_minutes": lambda night: night.total_sleep_minutes,
    "deep_minutes": lambda night: night.deep_minutes,
    "rem_minutes": lambda night: night.rem_minutes,
    "light_minutes": lambda night: night.light_minutes,
    "awake_minutes": lambda night: night.awake_minutes,
    "sleep_latency_minutes": lambda night: night.sleep_latency_minutes,
    "interruptions": lambda night: night.interruptions,
    "sleep_efficiency_pct": lambda night: night.sleep_efficiency_pct,
}
# Half of the last digit that is stored: whole numbers, and one decimal at the least.
WHOLE_TOLERANCE, DECIMAL_TOLERANCE = 0.5, 0.05
ROUNDING = 1e-6


def main() -> int:
    port = GATEWAY_PORT if is_free(GATEWAY_PORT) else free_port()
    staying, log = threading.Event(), MergedLog(sys.stdout)

    recent: deque[tuple[str, str]] = deque(maxlen=LOG_LINES)

    def show_log(name: str, line: str) -> None:
        recent.append((name, line))
        if staying.is_set():
            log(name, line)

    stack = Stack(data_directory(), port=port, show=show_log)
    console = stdout()
    with interruptible(stack):
        try:
            say(console, f"Starting PostgreSQL, the services and the gateway in {stack.directory.path}")
            with stack:
                if port != GATEWAY_PORT:
                    say(console, f"Port {GATEWAY_PORT} is in use, so the demo's is {port}")
                code = tell(console, stack)
                if code:
                    for name, line in recent:
                        log(name, line)
                if os.environ.get("DEMO_EXIT") != "1":
                    say(console, "Ctrl-C stops everything")
                    staying.set()
                    stack.wait()
        except Interrupted:
            return 0
        except LocalError as error:
            stack.stop()
            print(f"\nvitalis: {error}", file=sys.stderr)
            return 1
        except VitalisError as error:
            print(f"\nvitalis: {explain(error)}", file=sys.stderr)
            return 1
    return code


def data_directory() -> Path:
    """Where the demo keeps its data, apart from that of `make up`."""
    usual = default_directory()
    return usual if os.environ.get("VITALIS_DATA_DIR") else usual.with_name(f"{usual.name}-demo")


def tell(console: Console, stack: Stack) -> int:
    """The demo itself, on a server that runs. Returns the exit code."""
    url = stack.url
    email, password = f"demo-{secrets.token_hex(4)}@example.com", secrets.token_urlsafe(12)
    yesterday = datetime.now().astimezone().date() - timedelta(days=1)
    first = yesterday - timedelta(days=SHOWN_DAYS - 1)
    with Vitalis(url) as api:
        api.register(email, password, "Demo")
        user = api.verify_email(wait_for_code(stack.mailbox, email), password)
        say(console, f"Signed {user.email} up, with the code out of the mail in {stack.mailbox}")
        with tempfile.TemporaryDirectory() as scratch:
            export = Path(scratch) / "export.zip"
            with export.open("wb") as file:
                truth = write_export(file, days=DATA_DAYS, seed=SEED, end=yesterday)
            what = f"{size(export.stat().st_size)}, {size(truth.xml_bytes)} unpacked"
            say(console, f"Made an Apple Health export of {DATA_DAYS} days ({what}); importing it")
            done = bring_in(api, export)
        console.print(headline(done), markup=False, soft_wrap=True)
        if done.result is None:
            print(f"vitalis: the import {done.status}: {done.error_message}", file=sys.stderr)
            return 1
        print_account(console, done.result)
        enter(api)
        say(console, "Entered the results of three laboratories, in their own units")
        say(console, "Printed a fourth laboratory's report; uploading and confirming it")
        wrong_labs = [*confirm_report(console, api), *print_trends(console, api)]
        days = list(api.days(first, yesterday))
        nights = list(api.nights(first, yesterday))
    say(console, f"The last {SHOWN_DAYS} days")
    console.print(table(DAYS, days, console.width)[0])
    wrong = [*wrong_labs, *compare_account(done, truth), *compare(days, nights, truth, first)]
    for line in wrong:
        print(f"vitalis: {line}", file=sys.stderr)
    if not wrong:
        say(console, f"These {len(days)} days, {len(nights)} nights and results, and the account, are what was put in")
    print_ways_on(console, url, email, password)
    return 1 if wrong else 0


def bring_in(api: Vitalis, export: Path) -> Import:
    """Uploads an export and watches its import to the end."""
    with bar() as shown:
        queued = api.upload(export, on_progress=shown.upload)
    last = queued
    with bar() as shown:
        for last in api.watch_import(queued.id):
            shown.update(last)
    return last


def compare_account(done: Import, truth: Truth) -> Iterator[str]:
    """A line for each count of the account that differs from what the generator wrote."""
    if done.result is None:
        return
    for name in ("records_read", "records_used", "records_rejected"):
        said, put_in = getattr(done.result, name), getattr(truth, name)
        if said != put_in:
            yield f"the account's {name}: the API says {said}, the generator put in {put_in}"


def compare(days: list[Day], nights: list[WearableSleep], truth: Truth, first: date) -> Iterator[str]:
    """A line for each value of the shown days and nights that differs from what the generator put in."""
    days_by_date = {day.date: day for day in days}
    nights_by_date = {night.sleep_date: night for night in nights}
    for date_ in (first + timedelta(days=number) for number in range(SHOWN_DAYS)):
        day, night = days_by_date.get(date_.isoformat()), nights_by_date.get(date_.isoformat())
        known = truth.nights.get(date_)
        if day is None:
            yield f"{date_}: the API has no such day"
        if (night is None) != (known is None):
            has, put = ("no", "one") if night is None else ("a", "none")
            yield f"{date_}: the API has {has} night, the generator put in {put}"
        if day is not None:
            put_in = {name: value(truth.days[date_]) for name, value in DAY_VALUES.items()}
            yield from differences(str(date_), day, put_in)
        if night is not None and known is not None:
            put_in = {name: value(known) for name, value in NIGHT_VALUES.items()}
            yield from differences(f"{date_} night", night, put_in)


def differences(when: str, said: Day | WearableSleep, put_in: Mapping[str, Number]) -> Iterator[str]:
    for name, expected in put_in.items():
        value: Number = getattr(said, name)
        tolerance = (WHOLE_TOLERANCE if isinstance(value, int) else DECIMAL_TOLERANCE) + ROUNDING
        agree = value is expected if value is None or expected is None else abs(value - expected) <= tolerance
        if not agree:
            yield f"{when} {name}: the API says {value}, the generator put in {expected}"


def print_ways_on(console: Console, url: str, email: str, password: str) -> None:
    for name, value in {
        "API page": f"{url}/docs",
        "Email": email,
        "Password": password,
        "Log in": f".venv/bin/vitalis log-in {email} --url {url}",
        "Then": f".venv/bin/vitalis nights --url {url}",
    }.items():
        console.print(f"{name:<9} {value}", markup=False, soft_wrap=True)


def say(console: Console, line: str) -> None:
    console.print(f"\n{line}", style="bold", markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
