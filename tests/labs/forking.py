"""Starts a process that would go on for ever, as a confined process of the labs service starts Tesseract, and waits.

The pipe whose name is the argument stays open for as long as either of them lives.
"""

import signal
import subprocess
import sys

from services.labs.confined import confine, die_with_parent

if __name__ == "__main__":
    memory_bytes, seconds, pipe, ending = sys.argv[1:]
    confine(memory_bytes, seconds)
    with open(pipe, "wb") as held:
        endless = [sys.executable, "-c", "import signal; print('started', flush=True); signal.pause()"]
        with subprocess.Popen(
            endless, stdout=subprocess.PIPE, pass_fds=[held.fileno()], preexec_fn=die_with_parent
        ) as child:
            assert child.stdout
            child.stdout.readline()
            held.write(b"both are there\n")
            held.flush()
            if ending == "killed":
                signal.raise_signal(signal.SIGKILL)
            signal.pause()
