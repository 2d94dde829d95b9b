"""The command at a pseudo-terminal."""

import os
import pty
import select
import signal
import subprocess
import sys

PATIENCE_SECONDS = 60


def at_a_terminal(
    arguments: list[str], prompt: bytes = b"", answer: bytes | None = b"", *, exit_code: int = 0
) -> bytes:
    """What the command shows at a pseudo-terminal where at `prompt` `answer` is typed, or without one Ctrl-C."""
    terminal, other_side = pty.openpty()
    command = [sys.executable, "-m", "vitalis_client", *arguments]
    process = subprocess.Popen(command, stdin=other_side, stdout=other_side, stderr=other_side, start_new_session=True)
    os.close(other_side)
    shown = b""
    try:
        while chunk := read(terminal):
            shown += chunk
            if prompt and shown.endswith(prompt):
                if answer is None:
                    process.send_signal(signal.SIGINT)
                # A signal between the prompt and the reading is noticed when the reading ends.
                os.write(terminal, answer or b"\n")
                prompt = b""
    finally:
        # A terminal that is closed ends what waits at it.
        os.close(terminal)
        process.wait(timeout=PATIENCE_SECONDS)
    assert process.returncode == exit_code, shown
    return shown


def read(terminal: int) -> bytes:
    """What is shown next; nothing at the end. Fails rather than wait forever for a prompt that does not come."""
    assert select.select([terminal], [], [], PATIENCE_SECONDS)[0], "nothing more is shown"
    try:
        return os.read(terminal, 4096)
    except OSError:
        # Linux says so when the other side has closed the terminal.
        return b""
