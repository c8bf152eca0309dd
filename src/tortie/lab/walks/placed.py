"""Steps that documents do by packages and the lab has done already."""

from __future__ import annotations

from tortie.lab.walks.walk import Walk


def store_is_there(walk: Walk) -> None:
    walk.progress.explain("The document installs the package etcd. Here the lab has placed the store itself.")
    printed = walk.must("agent-1", "tortie store export > /dev/null && cat /etc/tortie/store")
    walk.check("the store answers on an agent", printed.startswith(("etcd://", "sqlite://")), printed)


def nodes_are_ready(walk: Walk) -> None:
    walk.progress.explain(
        "The document installs the package calico. Here every host but the laptop has its node already."
    )
    asked = "curl -sS -o /dev/null -w '%{http_code}' --unix-socket /run/tortie/node.sock http://localhost/readiness"
    for host in (host.name for host in walk.hosts if host.role != "outside"):
        walk.check(f"the node of {host} is ready", walk.typed(host, asked).stdout == "204")
