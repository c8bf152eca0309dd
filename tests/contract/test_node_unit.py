"""systemd itself reads the unit that the command prints."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ANALYZE = shutil.which("systemd-analyze")


@pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze on this machine (package systemd)")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    assert ANALYZE is not None
    command = Path(sys.executable).with_name("tortie")
    printed = subprocess.run([command, "node", "unit"], capture_output=True, text=True, check=True).stdout
    unit = tmp_path / "calico-node.service"
    unit.write_text(printed)
    assert str(command.resolve()) in printed
    ran = subprocess.run([ANALYZE, "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
