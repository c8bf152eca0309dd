"""The words of the 1.3 grammar."""

from __future__ import annotations

from tortie.cli.calicoctl import node_options

MAIN = """\
Usage:
  calicoctl [options] <command> [<args>...]

Commands:
  create    write resources that are not there yet
  replace   write over resources that are there
  apply     write resources, over those that are there
  delete    remove resources
  get       show resources
  config    settings of the nodes and of BGP
  ipam      addresses
  node      this host's node
  version   version of this program

Options:
  -l --log-level=<level>   panic, fatal, error, warn, info or debug [default: panic]

`calicoctl <command> --help` shows the words of one command.
"""

_FILE = """\
Usage:
  calicoctl {0} --filename=<FILENAME> {1}[--config=<CONFIG>]

Options:
  -f --filename=<FILENAME>   one resource, a list of them or a list kind, in YAML or JSON; - for standard input
  -c --config=<CONFIG>       configuration file [default: /etc/calico/calicoctl.cfg]
"""
_CHOICE = """\
Usage:
  calicoctl {0} ((<KIND> [<NAME>]) | --filename=<FILENAME>) [--scope=<SCOPE>] [--node=<NODE>]
                [--orchestrator=<ORCH>] [--workload=<WORKLOAD>] {1}[--config=<CONFIG>]

<KIND>: bgpPeer, hostEndpoint, ipPool, node, policy, profile, workloadEndpoint.
"""
_TEXTS = {
    "create": _FILE.format("create", "[--skip-exists] "),
    "apply": _FILE.format("apply", ""),
    "replace": _FILE.format("replace", ""),
    "delete": _CHOICE.format("delete", "[--skip-not-exists] "),
    "get": _CHOICE.format("get", "[--output=<OUTPUT>] "),
    "config": """\
Usage:
  calicoctl config set <NAME> <VALUE> [--node=<NODE>] [--raw=(bgp|felix)]
  calicoctl config unset <NAME> [--node=<NODE>] [--raw=(bgp|felix)]
  calicoctl config get <NAME> [--node=<NODE>] [--raw=(bgp|felix)]

<NAME>: logLevel, nodeToNodeMesh, asNumber, ipip; with --raw any field of BGPConfiguration or FelixConfiguration.
""",
    "ipam": """\
Usage:
  calicoctl ipam release --ip=<IP>
  calicoctl ipam show --ip=<IP>
""",
    "node": """\
Usage:
  calicoctl node run [--ip=<IP>] [--ip6=<IP6>] [--as=<AS_NUM>] [--name=<NAME>]
                     [--ip-autodetection-method=<METHOD>] [--ip6-autodetection-method=<METHOD>]
                     [--log-dir=<LOG_DIR>] [--node-image=<IMAGE>] [--backend=bird] [--config=<CONFIG>]
                     [--no-default-ippools] [--dryrun] [--init-system] [--disable-docker-networking]
                     [--docker-networking-ifprefix=cali] [--use-docker-networking-container-labels]
  calicoctl node status
  calicoctl node diags [--log-dir=<LOG_DIR>]
  calicoctl node checksystem

<METHOD>: first-found, can-reach=<DEST>, interface=<REGEX>. <IP> may be autodetect.
""",
    "version": """\
Usage:
  calicoctl version
""",
}
COMMANDS = frozenset(_TEXTS)
FLAGS = {
    "node": {name: name for name in node_options.FLAGS},
    "create": {"--skip-exists": "--skip-exists"},
    "delete": {"-s": "--skip-not-exists", "--skip-not-exists": "--skip-not-exists"},
}
_FILES = {"-f": "--filename", "--filename": "--filename"}
_IDENTIFIERS = {
    "-n": "--node",
    "--node": "--node",
    "--orchestrator": "--orchestrator",
    "--workload": "--workload",
    "--scope": "--scope",
}
VALUES = {
    "create": _FILES,
    "apply": _FILES,
    "replace": _FILES,
    "delete": {**_FILES, **_IDENTIFIERS},
    "get": {**_FILES, **_IDENTIFIERS, "-o": "--output", "--output": "--output"},
    "config": {"-n": "--node", "--node": "--node", "--raw": "--raw"},
    "ipam": {"--ip": "--ip"},
    "node": {name: name for name in node_options.VALUES},
}
TOP_VALUES = {"-c": "--config", "--config": "--config", "-l": "--log-level", "--log-level": "--log-level"}


def of(word: str) -> str:
    return _TEXTS.get(word, MAIN)
