"""Makes the checkout's packages and commands known to the environment that runs this: `python scripts/link.py ROOT`.

An editable installation without a build: a .pth file, the distribution's record, one small script for each command.
"""

import sys
import sysconfig
import tomllib
from pathlib import Path

SCRIPT = """\
#!/bin/sh
'''exec' '{python}' "$0" "$@"
' '''
import sys
from {module} import {name}
sys.exit({name}())
"""


def link(root: Path) -> None:
    """Write everything; what an earlier run wrote is replaced."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    packages, commands = Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("scripts"))
    name, version = project["name"], project["version"]
    (packages / f"{name}.pth").write_text(f"{root / 'src'}\n")
    for old in packages.glob(f"{name}-*.dist-info"):
        for file in old.iterdir():
            file.unlink()
        old.rmdir()
    record = packages / f"{name}-{version}.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (record / "INSTALLER").write_text("scripts/link.py\n")
    lines = [f"{command} = {target}" for command, target in project["scripts"].items()]
    (record / "entry_points.txt").write_text("[console_scripts]\n" + "\n".join(lines) + "\n")
    for command, target in project["scripts"].items():
        module, _, function = target.partition(":")
        script = commands / command
        script.write_text(SCRIPT.format(python=sys.executable, module=module, name=function))
        script.chmod(0o755)


if __name__ == "__main__":
    link(Path(sys.argv[1]).resolve())
