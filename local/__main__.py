"""`python -m local up` and `python -m local migrate`."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from local.directory import LocalError
from local.log import MergedLog
from local.runner import GATEWAY_PORT, Stack


class Interrupted(BaseException):
    """Somebody asked us to stop."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start everything and stay until Ctrl-C")
    up.add_argument("--port", type=int, default=GATEWAY_PORT, help="of the gateway; 0 takes free ports everywhere")
    migrate = commands.add_parser("migrate", help="bring every service's database to its latest revision")
    for command in (up, migrate):
        command.add_argument("--data-dir", type=Path, help="default: VITALIS_DATA_DIR, or the platform's place")
    arguments = parser.parse_args()
    log = MergedLog(sys.stdout)
    port = arguments.port if arguments.command == "up" else 0
    stack = Stack(arguments.data_dir, port=port, show=log)
    with interruptible(stack):
        try:
            if arguments.command == "up":
                run(stack, log)
            else:
                stack.prepare()
        except Interrupted:
            return 0
        except LocalError as error:
            stack.stop()
            print(f"\nvitalis: {error}", file=sys.stderr)
            return 1
        finally:
            stack.stop()
    return 0


def run(stack: Stack, log: MergedLog) -> None:
    with stack:
        for line in (
            f"API            {stack.url}/api/v1",
            f"documentation  {stack.url}/docs",
            f"OpenAPI        {stack.url}/openapi.json",
            f"data           {stack.directory.path}",
            "Ctrl-C stops everything.",
        ):
            log("vitalis", line)
        try:
            stack.wait()
        except Interrupted:
            log("vitalis", "stopping; Ctrl-C again kills")
            raise


@contextmanager
def interruptible(stack: Stack) -> Iterator[None]:
    """The first SIGINT, SIGTERM or SIGHUP raises Interrupted, the second kills everything."""
    asked = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            stack.abandon()
            os._exit(1)
        asked.set()
        raise Interrupted

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    yield


if __name__ == "__main__":
    sys.exit(main())
