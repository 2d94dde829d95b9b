"""Lints the protos, checks their format, and that they broke nothing since a base revision.

    python -m protos.check [BASE]

BASE is a git revision; without it, where this branch left origin/main, else the
commit before the last one that touched the protos. buf reads descriptor sets
that generate.py builds, so that it needs no network for the includes.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path

from protos import generate

ROOT = generate.ROOT
BUF = Path(sys.executable).parent / "buf"


def git(*arguments: str) -> bytes | None:
    """The output of git, or None if it fails: no repository, no such revision."""
    try:
        result = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return result.stdout if result.returncode == 0 else None


def base_revision() -> str:
    """The revision to compare with, "" if there is none."""
    head = (git("rev-parse", "HEAD") or b"").decode().strip()
    merge_base = (git("merge-base", "HEAD", "origin/main") or b"").decode().strip()
    if merge_base and merge_base != head:
        return merge_base
    touched = (git("log", "--format=%H", "-2", "--", ".") or b"").decode().split()
    return touched[1] if len(touched) == 2 else ""


def build(protos: Path, target: Path) -> Path:
    target.mkdir()
    generate.build(protos, target, code=False)
    return target / generate.DESCRIPTOR_SET


def buf(*arguments: str | Path) -> bool:
    result = subprocess.run([BUF, *arguments], cwd=ROOT, check=False)
    return result.returncode == 0


def main(base: str) -> int:
    base = base or base_revision()
    with tempfile.TemporaryDirectory() as scratch:
        config = ("--config", ROOT / "buf.yaml")
        now = build(ROOT, Path(scratch) / "now")
        passed = [buf("format", "--diff", "--exit-code", "."), buf("lint", now, *config)]
        archive = git("archive", "--format=zip", base, "--", ".") if base else None
        if archive is None:
            print("buf breaking: no earlier revision of the protos to compare with", file=sys.stderr)
        else:
            with zipfile.ZipFile(BytesIO(archive)) as files:
                files.extractall(Path(scratch) / "protos")
            before = build(Path(scratch) / "protos", Path(scratch) / "before")
            passed.append(buf("breaking", now, "--against", before, *config, "--exclude-imports"))
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("BUF_BASE", "")))
