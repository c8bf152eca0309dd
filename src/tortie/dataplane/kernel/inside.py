"""The container's side of an interface pair: put into its network namespace and set up there, by `ip`."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from tortie.base.errors import Conflict, Unavailable
from tortie.dataplane.kernel.veth import HOST_MAC

GATEWAY = "169.254.1.1"
GATEWAY6 = "fe80::ecee:eeff:feee:eeee"
"""The link-local address that belongs to the host's MAC."""
SECONDS = 20


def names(namespace: str) -> set[str]:
    """Every interface of the namespace at this path."""
    shown = _run(["nsenter", f"--net={namespace}", "ip", "-oneline", "link", "show"], "")
    return {line.split(": ")[1].partition("@")[0] for line in shown.splitlines()}


def move(peer: str, pid: int) -> None:
    """From this namespace into that of a process."""
    _run(["ip", "link", "set", "dev", peer, "netns", str(pid)], "")


def configure(namespace: str, peer: str, interface: str, address: str, *, default: bool) -> None:
    """Gives the moved end its name, its address, the way to the host and, with `default`, to everything else.

    Conflict when the name is taken.
    """
    if interface in names(namespace):
        raise Conflict(f"interface {interface} exists in the container already")
    _batch(namespace, [f"link set dev {peer} name {interface}", f"link set dev {interface} up"])
    add_address(namespace, interface, address)
    if ":" in address:
        way = [f"-6 neigh replace {GATEWAY6} lladdr {HOST_MAC} dev {interface} nud permanent"]
        way += [f"-6 route replace default via {GATEWAY6} dev {interface}"] if default else []
    else:
        way = [
            f"route replace {GATEWAY}/32 dev {interface} scope link",
            f"neigh replace {GATEWAY} lladdr {HOST_MAC} dev {interface} nud permanent",
        ]
        way += [f"route replace default via {GATEWAY} dev {interface}"] if default else []
    _batch(namespace, way)


def has_default(namespace: str, version: int) -> bool:
    return bool(_run(["nsenter", f"--net={namespace}", "ip", f"-{version}", "route", "show", "default"], "").strip())


def add_address(namespace: str, interface: str, address: str) -> None:
    _batch(namespace, [f"address replace {_host(address)} dev {interface}"])


def remove_address(namespace: str, interface: str, address: str) -> None:
    _batch(namespace, [f"address del {_host(address)} dev {interface}"])


def _host(address: str) -> str:
    return f"{address}/{128 if ':' in address else 32}" + (" nodad" if ":" in address else "")


def _batch(namespace: str, lines: Sequence[str]) -> None:
    _run(["nsenter", f"--net={namespace}", "ip", "-batch", "-"], "".join(f"{line}\n" for line in lines))


def _run(argv: Sequence[str], text: str) -> str:
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{argv[0]}: {error}") from error
    if done.returncode != 0:
        raise Unavailable(f"{' '.join(argv)}: {done.stderr.strip().splitlines()[0] if done.stderr.strip() else ''}")
    return done.stdout
