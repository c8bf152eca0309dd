"""A lab whose store is a real etcd on the master instead of a directory that all hosts see."""

from __future__ import annotations

import json
from dataclasses import replace

from tortie.lab.plan import Daemon, Host, Plan, Ready, as_json

DATA = "/var/lib/tortie/etcd"
KEPT_REVISIONS = 10_000
"""As the embedded store keeps them."""


def on_etcd(plan: Plan, *, store: str, master: str, python: str) -> Plan:
    """The plan with etcd on the master, every program that opens `store` led there, and started once it answers."""
    url = etcd_url(master)

    def of(host: Host) -> Host:
        if not any(store in daemon.argv for daemon in host.daemons):
            return host
        if plan.options.bare:
            # What a network finds in its store first is not this store's.
            led = _led(host, store, url, "etcd")
            return replace(host, daemons=(server(master), *led))
        first = Daemon(
            "store",
            (python, "-m", "tortie.lab.network", url, json.dumps(as_json(plan.options))),
            ("etcd",) if host.role == "master" else (),
            Ready("exit"),
        )
        before = (server(master), first) if host.role == "master" else (first,)
        return replace(host, daemons=(*before, *_led(host, store, url, first.name)))

    return replace(plan, hosts=tuple(map(of, plan.hosts)))


def _led(host: Host, store: str, url: str, after: str) -> list[Daemon]:
    """The host's daemons, those that open `store` led to `url` and started after the daemon `after`."""
    return [
        replace(d, argv=tuple(url if word == store else word for word in d.argv), after=(*d.after, after))
        if store in d.argv
        else d
        for d in host.daemons
    ]


def etcd_url(master: str) -> str:
    return f"etcd://{master}:2379"


def server(address: str) -> Daemon:
    """One member, which keeps as much of its history as the embedded store does."""
    argv = (
        *("etcd", "--name", "master", "--data-dir", DATA, "--logger", "zap", "--log-level", "warn"),
        *("--listen-client-urls", f"http://{address}:2379,http://127.0.0.1:2379"),
        *("--advertise-client-urls", f"http://{address}:2379"),
        *("--listen-peer-urls", "http://127.0.0.1:2380", "--initial-advertise-peer-urls", "http://127.0.0.1:2380"),
        *("--initial-cluster", "master=http://127.0.0.1:2380"),
        *("--auto-compaction-mode", "revision", "--auto-compaction-retention", str(KEPT_REVISIONS)),
    )
    return Daemon("etcd", argv, ready=Ready("http", f"{address}:2379", "/health"))
