"""The page about policy in people's own tests is true: its files are read, its Python runs, its commands answer."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from tortie.cli import main as program

PAGE = (Path(__file__).parents[2] / "docs" / "policy-in-ci.md").read_text()
FILES = dict(re.findall(r"^```yaml file=(\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
PYTHON = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^(tortie .*?)(?:\s+#.*)?$", PAGE, re.MULTILINE)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "change.yaml").write_text(FILES["policy.yaml"].replace("5432", "5433"))
    return tmp_path


def test_the_python_runs(here: Path) -> None:
    assert len(PYTHON) == 1
    exec(compile(PYTHON[0], "policy-in-ci.md", "exec"), {})


def test_the_commands_answer(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    codes = []
    for line in COMMANDS:
        monkeypatch.setattr(sys, "argv", shlex.split(line))
        with pytest.raises(SystemExit) as ended:
            program.main()
        codes.append(ended.value.code)
        assert capsys.readouterr().out
    # The change moves the port that an assertion speaks of along with it: it changes, and breaks nothing.
    assert codes == [0, 0, 3]
