"""The command at a pseudo-terminal."""

import os
import pty
import signal
import subprocess
import sys


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
        os.close(terminal)
        process.wait(timeout=60)
    assert process.returncode == exit_code, shown
    return shown


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:
        # Linux says so when the other side has closed the terminal.
        return b""
