"""Who reaches whom in the Environments document, stage by stage, from its text. Pure."""

from __future__ import annotations

from tortie.lab.plan import SUBNET
from tortie.lab.walks.matrix import Allow, Probe, Probing, Stage

KINDS = ("frontend", "tester", "database")
PRODUCTION, DEVELOPMENT = KINDS, tuple(f"{kind}2" for kind in KINDS)
APPS = (*PRODUCTION, *DEVELOPMENT)
LISTENING = {
    "frontend": frozenset({Probe("tcp", 80)}),
    "tester": frozenset[Probe](),
    "database": frozenset({Probe("tcp", 1521), Probe("tcp", 81)}),
}
PING = Probe("icmp")
PROBING = Probing(
    listens={app: LISTENING[app.removesuffix("2")] for app in APPS},
    probes=(*(Probe("tcp", port) for port in (80, 81, 1521, 22)), Probe("udp", 9), PING),
    to_hosts=(Probe("udp", 53), PING),
)


def _from(*peers: str, port: int) -> tuple[Allow, ...]:
    return tuple(Allow(peer=peer, protocol="tcp", port=port) for peer in peers)


def _lan(port: int) -> Allow:
    return Allow(cidr=SUBNET, protocol="tcp", port=port)


_CLOSED: dict[str, tuple[Allow, ...]] = dict.fromkeys(APPS, ())
_ECHO = Allow(protocol="icmp")
_ECHO_OF_GROUP = tuple(Allow(peer=peer, protocol="icmp") for peer in DEVELOPMENT)
S_A = Stage({app: tuple(Allow(peer=peer) for peer in APPS) for app in APPS})
S_B = Stage(_CLOSED)
S_C = Stage(
    {
        **_CLOSED,
        "frontend2": (_ECHO, *_from("tester", "tester2", port=80), _lan(81)),
        "tester2": (_ECHO,),
        "database2": (_ECHO, *_from("frontend", "frontend2", port=1521)),
    }
)
S_E = Stage(
    {
        **_CLOSED,
        "frontend2": (*_ECHO_OF_GROUP, *_from("tester2", port=80), _lan(80)),
        "tester2": _ECHO_OF_GROUP,
        "database2": (*_ECHO_OF_GROUP, *_from("tester2", port=81), *_from("frontend2", port=1521)),
    }
)
