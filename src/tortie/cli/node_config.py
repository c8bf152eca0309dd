"""The one file that says how this host's agent runs, and the unit that runs it under systemd."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from tortie.base.errors import Invalid
from tortie.cli import first_network

CONFIG = Path("/etc/tortie/node.conf")
NAMES: Mapping[str, str] = {
    "NODENAME": "hostname",
    "IP": "address",
    "IP_AUTODETECTION_METHOD": "ip_autodetection_method",
    "IP6": "address6",
    "IP6_AUTODETECTION_METHOD": "ip6_autodetection_method",
    "TORTIE_STORE": "store",
    "TORTIE_NODE_SOCKET": "path",
    "TORTIE_OWN_TABLE": "own_table",
    "TORTIE_DOCKER": "docker",
    "TORTIE_CNI": "cni",
    "TORTIE_CNI_SOCKET": "cni_socket",
    "TORTIE_CNI_SPOOL": "cni_spool",
    "TORTIE_NET_MODULES_LOG": "net_modules_log",
    "CALICO_NETWORKING_BACKEND": "networking_backend",
    "TORTIE_BIRD_DIRECTORY": "bird_directory",
    "TORTIE_NODE_STATE": "state",
    "TORTIE_DEBUG": "debug",
    **first_network.VARIABLES,
}
"""Variables of the environment, and lines of the file, by the option of `tortie node run` that each stands for."""

SERVICE = "calico-node.service"
MARK = "# The agent of one host. Written by `tortie node unit`."
UNIT = """\
{mark}
[Unit]
Description=Tortie node: network and policy of this host's containers
Wants=network-online.target
After=network-online.target
# Containers of this engine find their network closed, never open, and its plug-in there.
Before=docker.service
# However often it fails: a store or an interface that comes late must not end it for good.
StartLimitIntervalSec=0

[Service]
Type=exec
EnvironmentFile=-{config}
ExecStartPre={program} node boot
ExecStart={program} node run
Restart=always
RestartSec=1
# What carries packets goes on without the agent: the kernel's state, BIRD.
KillMode=process
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
"""


def unit(program: str, config: Path = CONFIG) -> str:
    """The text of calico-node.service. `program`: the path of the command `tortie`."""
    return UNIT.format(mark=MARK, program=program, config=config)


def program() -> str:
    """The command that is running now, by its full path."""
    return str(Path(sys.argv[0]).resolve())


def read(text: str, where: str) -> dict[str, str]:
    """The options that a file sets: lines NAME=VALUE as systemd reads them, `#` and `;` begin comments.

    Invalid names every line that is none, and every name that nobody knows.
    """
    found, problems = {}, []
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if not line or line[0] in "#;":
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals:
            problems.append(f"{where} line {number}: expected NAME=VALUE, found {line!r}")
        elif name not in NAMES:
            problems.append(f"{where} line {number}: no setting {name}; there are {', '.join(NAMES)}")
        else:
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
            found[NAMES[name]] = value[1:-1] if quoted else value
    if problems:
        raise Invalid(*problems)
    return found


def load(path: Path) -> dict[str, str]:
    """What the file sets; nothing when it is not there. Invalid as of `read`, and when it cannot be read."""
    try:
        return read(path.read_text(), str(path))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{path}: {error}") from error
