"""`dcos node ssh`: a real ssh in this process's place."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from tortie.cli.dcos import state as of
from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.grammar import Line
from tortie.cli.dcos.mesos import LEADER, Mesos
from tortie.cli.dcos.session import Session, tell

USER = "core"
NO_AGENT = (
    "There is no SSH_AUTH_SOCK env variable, which likely means you aren't running `ssh-agent`.  `dcos node ssh "
    "--master-proxy/--proxy-ip` depends on `ssh-agent` to safely use your private key to hop between nodes in your "
    "cluster.  Please run `ssh-agent`, then add your private key with `ssh-add`."
)
KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")


def ssh(session: Session, line: Line) -> int:
    """Does not return once ssh runs: its exit code is the answer."""
    mesos = Mesos(session)
    host = _host(mesos, line)
    proxy = _proxy(mesos, line)
    lonely = bool(proxy) and not session.environ.get("SSH_AUTH_SOCK")
    if lonely and not own_key(session.environ):
        raise DcosError(NO_AGENT)
    options = line.options.values("--option")
    for option in options:
        if "=" not in option:
            raise DcosError(f"--option is SSHOPT=VAL, not {option!r}")
    user = line.value("--user") or USER
    hops = ssh_words(host, user, options, line.value("--config-file"), proxy, line.words("<command>"))
    tell(f"Running `{shown(hops)}`")
    words = command(hops)
    if lonely:
        # An agent for as long as this ssh runs: the second hop asks it for the key that the first has used.
        words = ["ssh-agent", words[0], "-o", "AddKeysToAgent=yes", *words[1:]]
    try:
        os.execvp(words[0], words)
    except OSError as error:
        raise DcosError(f"{words[0]} cannot be run: {error.strerror}") from error


def ssh_words(
    host: str, user: str, options: Sequence[str], config: str | None, proxy: str | None, command: Sequence[str]
) -> list[list[str]]:
    """The words of one ssh after the other; the last one's are those on the node."""
    more = [word for option in options for word in ("-o", option)] + (["-F", config] if config else [])
    if not proxy:
        return [["ssh", "-t", *more, f"{user}@{host}"], list(command)]
    return [["ssh", "-A", "-t", *more, f"{user}@{at}"] for at in (proxy, host)] + [list(command)]


def command(hops: Sequence[Sequence[str]]) -> list[str]:
    """What is executed: what stands behind a hop is typed at a shell there."""
    *outer, words = hops
    text = " ".join(words)
    for hop in reversed(outer[1:]):
        text = " ".join(map(shlex.quote, [*hop, text] if text else hop))
    return [*outer[0], text] if text else list(outer[0])


def shown(hops: Sequence[Sequence[str]]) -> str:
    """As the original printed it: a blank behind the last host."""
    return " ".join(word for hop in hops[:-1] for word in hop) + " " + " ".join(hops[-1])


def own_key(environ: Mapping[str, str]) -> bool:
    """A key that ssh finds without an agent."""
    home = Path(environ.get("HOME") or "~").expanduser() / ".ssh"
    return any((home / name).is_file() for name in KEYS)


def _host(mesos: Mesos, line: Line) -> str:
    if line.has("--leader") or line.has("--master"):
        return str(_first(mesos.hosts(LEADER), LEADER)["ip"])
    if address := line.value("--private-ip"):
        return address
    wanted = line.value("--mesos-id") or line.value("--slave") or ""
    for agent in of.members(mesos.summary(), "slaves"):
        if agent.get("id") == wanted:
            return of.address(agent)
    raise DcosError(f"No slave found with ID [{wanted}]")


def _first(hosts: Sequence[Mapping[str, str]], name: str) -> Mapping[str, str]:
    if not hosts or not hosts[0].get("ip"):
        raise DcosError(f"The cluster's DNS knows no {name}")
    return hosts[0]


def _proxy(mesos: Mesos, line: Line) -> str | None:
    if line.value("--proxy-ip") or not line.has("--master-proxy"):
        return line.value("--proxy-ip")
    public = mesos.metadata().get("PUBLIC_IPV4")
    if not public:
        url = mesos.session.url("metadata")
        raise DcosError(f"Cannot use --master-proxy.  Failed to find 'PUBLIC_IPV4' at {url}")
    return str(public)
