"""The check of the project's prose can fail: it names a planted turn of phrase, and what to write instead."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_planted_turn_of_phrase_is_named(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs/prose_check.py", tmp_path / "docs")
    (tmp_path / "page.md").write_text("The job begins " + "an" + "ew.\n")
    for command in (["git", "init", "--quiet"], ["git", "add", "."]):
        subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run(
        [sys.executable, "docs/prose_check.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "page.md:1: 'an" + "ew'; write: again, from scratch" in done.stderr
