"""The words and options of the 3 grammar, shown when a command line does not follow them."""

from __future__ import annotations

MAIN = """\
Usage:
  calicoctl [options] <command> [<args>...]

Commands:
  get        show resources
  create     write resources that are not there yet
  apply      write resources, over those that are there
  replace    write over resources that are there
  patch      change fields of one resource
  delete     remove resources
  validate   check files without a datastore
  label      set or remove a label of a resource
  convert    rewrite files of apiVersion v1, or Kubernetes policies, as v3
  ipam       addresses: show, check, release, configure, split
  node       this host's node: status, checksystem, diags, run
  datastore  lock, unlock, export, import
  cluster    diagnostics of the cluster
  version    version of this program and of the cluster
  completion completion for bash, zsh or fish

Options:
  -c --config=<PATH>           configuration file [default: /etc/calico/calicoctl.cfg]
  -l --log-level=<LEVEL>       panic, fatal, error, warn, info or debug
  --context=<NAME>             context of a kubeconfig
  --allow-version-mismatch     accept a cluster of another version

`calicoctl <command> --help` shows the words of one command.
"""

_WRITE = """\
Usage:
  calicoctl {0} --filename=<FILE> [--recursive] [--skip-empty] [--namespace=<NS>]{1}

Options:
  -f --filename=<FILE>   a file, a directory, or - for standard input
  -R --recursive         the directories inside as well
  --skip-empty           files without resources are no reason for a word
  -n --namespace=<NS>    namespace of resources that name none
"""
_TEXTS = {
    "get": """\
Usage:
  calicoctl get ( (<KIND> [<NAME>...]) | --filename=<FILE> [--recursive] [--skip-empty] )
                [--output=<OUTPUT>] [--namespace=<NS> | --all-namespaces] [--export]

Options:
  -o --output=<OUTPUT>   ps, wide, yaml, json, name, custom-columns=..., go-template=..., go-template-file=...
  -n --namespace=<NS>    only this namespace [default: default]
  -A --all-namespaces    every namespace
  --export               without what only the datastore knows; for one that is named
""",
    "create": _WRITE.format("create", " [--skip-exists]"),
    "apply": _WRITE.format("apply", ""),
    "replace": _WRITE.format("replace", ""),
    "validate": _WRITE.format("validate", ""),
    "delete": """\
Usage:
  calicoctl delete ( (<KIND> <NAME>...) | --filename=<FILE> [--recursive] [--skip-empty] )
                   [--skip-not-exists] [--namespace=<NS>]
""",
    "patch": """\
Usage:
  calicoctl patch <KIND> <NAME> --patch=<PATCH> [--type=strategic] [--namespace=<NS>]
""",
    "label": """\
Usage:
  calicoctl label <KIND> <NAME> ( <KEY>=<VALUE> [--overwrite] | <KEY> --remove ) [--namespace=<NS>]
""",
    "convert": """\
Usage:
  calicoctl convert --filename=<FILE> [--output=yaml|json] [--ignore-validation]
""",
    "ipam": """\
Usage:
  calicoctl ipam show [--ip=<IP> | --show-blocks | --show-borrowed | --show-configuration]
  calicoctl ipam check [--show-all-ips] [--show-problem-ips] [--output=<REPORT>] [--repair]
  calicoctl ipam release ( --ip=<IP> | --from-report=<REPORT>... [--force] )
  calicoctl ipam configure [--strictaffinity=true|false] [--max-blocks-per-host=<N>] [--ip-cooldown-seconds=<N>]
                           [--kubevirt-ip-persistence=Enabled|Disabled]
  calicoctl ipam split <N> ( --cidr=<CIDR> | --name=<POOL> )
""",
    "node": """\
Usage:
  calicoctl node run [--ip=<IP>] [--ip6=<IP6>] [--as=<AS_NUM>] [--name=<NAME>]
                     [--ip-autodetection-method=<METHOD>] [--ip6-autodetection-method=<METHOD>]
                     [--log-dir=<LOG_DIR>] [--node-image=<IMAGE>] [--backend=bird] [--no-default-ippools]
                     [--dryrun] [--init-system] [--disable-docker-networking]
                     [--docker-networking-ifprefix=cali] [--use-docker-networking-container-labels]
  calicoctl node status | checksystem
  calicoctl node diags [--log-dir=<LOG_DIR>]
""",
    "datastore": """\
Usage:
  calicoctl datastore migrate lock | unlock
  calicoctl datastore migrate-policy-names
""",
    "cluster": """\
Usage:
  calicoctl cluster diags
""",
    "version": """\
Usage:
  calicoctl version [--client]
""",
    "completion": """\
Usage:
  calicoctl completion bash | zsh | fish

Example:
  source <(calicoctl completion bash)
""",
}
COMMANDS = frozenset(_TEXTS)
NO_WORDS = frozenset(("convert", "version"))

TOP_FLAGS = {"--allow-version-mismatch": "--allow-version-mismatch"}
TOP_VALUES = {
    "-c": "--config",
    "--config": "--config",
    "-l": "--log-level",
    "--log-level": "--log-level",
    "--context": "--context",
}
FILE_FLAGS = {"-R": "--recursive", "--recursive": "--recursive", "--skip-empty": "--skip-empty"}
FILE_VALUES = {"-f": "--filename", "--filename": "--filename", "-n": "--namespace", "--namespace": "--namespace"}
GET_FLAGS = {"-A": "--all-namespaces", "--all-namespaces": "--all-namespaces", "--export": "--export"}
OUTPUT = {"-o": "--output", "--output": "--output"}


def of(word: str) -> str:
    return _TEXTS.get(word, MAIN)
