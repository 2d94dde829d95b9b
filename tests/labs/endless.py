"""Starts a program that does not end, as a confined process of the labs service; writes its id into a file."""

import subprocess
import sys
from pathlib import Path

with subprocess.Popen(["sleep", "600"]) as process:
    Path(sys.argv[3]).write_text(str(process.pid))
