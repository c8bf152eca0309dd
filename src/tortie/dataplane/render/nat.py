"""The chains that translate addresses: floating ones to an endpoint's own, workloads' behind their host's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tortie.dataplane.render import language
from tortie.dataplane.render.extras import HAIRPIN, TO_FLOATING
from tortie.dataplane.render.language import Version
from tortie.dataplane.render.rules import Written
from tortie.dataplane.render.settings import FAMILIES, PEERS, Hiding, Settings

# For what arrives, and for what the host itself sends.
TRANSLATING = {"pre_nat": "prerouting", "out_nat": "output"}
POST_NAT = "post_nat"
# Behind the place where kube-proxy and other software put theirs.
POST_PLACE = "type nat hook postrouting priority 110"
CHAINS = (POST_NAT, *TRANSLATING)


def chains(settings: Settings, floating: Sequence[Version]) -> dict[str, tuple[Written, str]]:
    """Those that have something to do, with their hooks. `floating`: the families of floating addresses."""
    found: dict[str, tuple[Written, str]] = {}
    if floating:
        for name, hook in TRANSLATING.items():
            found[name] = (_by_address(floating, "d", TO_FLOATING), f"type nat hook {hook} priority -100")
    if settings.masqueraded or floating:
        written = _by_address(floating, "s", HAIRPIN)
        _masquerade(written, settings)
        found[POST_NAT] = (written, POST_PLACE)
    return found


def _by_address(versions: Sequence[Version], side: language.Word, maps: Mapping[Version, str]) -> Written:
    written = Written()
    for version in versions:
        lookup = f"{language.address(version, side)} vmap @{maps[version]}"
        written.rules.append(language.line(language.family(version), lookup))
        written.uses.add(maps[version])
    return written


def _masquerade(written: Written, settings: Settings) -> None:
    """Hides workloads behind their host, from everything that is in no pool."""
    for version in FAMILIES:
        hidden, inside = (
            [net for net in nets if (":" in net) == (version == 6)] for nets in (settings.masqueraded, settings.pools)
        )
        if hidden:
            destination = language.address(version, "d")
            matches = [
                language.family(version),
                language.match(language.address(version, "s"), written.nets(version, hidden)),
                language.match(destination, written.nets(version, inside), negated=True),
            ]
            if settings.hiding.hosts:
                matches.append(language.match(destination, f"@{PEERS[version]}", negated=True))
                written.uses.add(PEERS[version])
            if settings.hiding.interface:
                matches.append(f'oifname "{settings.hiding.interface}"')
            written.rules += [language.line(*matches, end) for end in _hidings(settings.hiding, version)]


def _hidings(hiding: Hiding, version: Version) -> list[str]:
    """A range of ports is for protocols that have them: they come first."""
    fixed = version == 4 and hiding.address
    plain = f"snat ip to {hiding.address}" if fixed else "masquerade"
    if not hiding.ports:
        return [plain]
    ranged = f"{plain}:{hiding.ports}" if fixed else f"{plain} to :{hiding.ports}"
    return [*(f"{language.protocol(number)} {ranged}" for number in (language.TCP, language.UDP)), plain]
