"""`calicoctl ipam`, `node` and `version` in the 1.3 grammar."""

from __future__ import annotations

from ipaddress import ip_address

from tortie.cli.calicoctl.era3.about import own_version
from tortie.cli.calicoctl.session import Failed, Session
from tortie.cli.options import BadUsage, Options


def command(word: str, options: Options, session: Session) -> str:
    second = options.words[0] if len(options.words) == 1 else ""
    if word == "version" and not options.words:
        return f"Version:      {own_version()}\nBuild date:   unknown\nGit commit:   unknown\n"
    if word == "ipam" and second in ("release", "show") and options.value("--ip"):
        return _ipam(second, options.value("--ip"), session)
    if word == "node" and second:
        return _node(second, options, session)
    raise BadUsage(word)


def _ipam(second: str, text: str, session: Session) -> str:
    from tortie.cli.calicoctl.era3 import ipam

    if second == "release":
        return ipam.release_address(session, text)
    with session.client() as client:
        lines = ipam.attributes_of(client, text)
    if lines is None:
        raise Failed(f"IP address {ip_address(text)} is not assigned")
    return "".join(f"{line}\n" for line in lines) or f"No attributes defined for IP {ip_address(text)}\n"


def _node(second: str, options: Options, session: Session) -> str:
    if second != "run" and options.given.keys() - {
        "--config",
        "--log-level",
        *(("--log-dir",) if second == "diags" else ()),
    }:
        raise BadUsage("node")
    if second == "status":
        from tortie.cli.calicoctl.node_status import status

        return status()
    if second == "checksystem":
        from tortie.cli.calicoctl.checksystem import report

        return report()
    if second == "diags":
        from tortie.cli.calicoctl.diags import LOG_DIR, collect

        return collect(session, options.value("--log-dir", LOG_DIR))
    if second == "run":
        from tortie.cli.calicoctl.node_run import run

        return run(options, session)
    raise BadUsage("node")
