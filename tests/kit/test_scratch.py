"""What a killed worker leaves on the disk."""

import os
from pathlib import Path

from services.kit.scratch import LEFT_BEHIND_SECONDS, PREFIX, scratch_directory, sweep_scratch


def test_what_was_left_a_day_ago_goes_and_nothing_else(tmp_path: Path) -> None:
    elsewhere = tmp_path / "mine"
    elsewhere.mkdir()
    (elsewhere / "report.pdf").touch()
    link = tmp_path / f"{PREFIX}link"
    link.symlink_to(elsewhere)
    with scratch_directory(tmp_path) as old, scratch_directory(tmp_path) as new:
        for directory in (Path(old), Path(new)):
            (directory / "document").write_text("a report")
        for path in (Path(old), elsewhere, link):
            os.utime(path, times=(0, path.lstat().st_mtime - LEFT_BEHIND_SECONDS - 1), follow_symlinks=False)
        sweep_scratch(tmp_path)
        assert not Path(old).exists()
        assert (Path(new) / "document").exists()
        assert (link / "report.pdf").exists()
        sweep_scratch(tmp_path)
        Path(old).mkdir()


def test_the_systems_directory_is_swept_where_none_is_named() -> None:
    with scratch_directory(None) as directory:
        sweep_scratch(None)
        assert Path(directory).exists()
