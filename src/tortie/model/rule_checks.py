"""What a rule must look like: every fault, with the field's name. `checks` has the parts that rules are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_network

from tortie.model import checks
from tortie.model.checks import Problem
from tortie.model.rule import EntityRule, HttpMatch, HttpPath, Icmp, Port, Protocol, Rule, ServiceAccountMatch

WITH_PORTS = ("TCP", "UDP", "SCTP", 6, 17, 132)
ICMPS = ("ICMP", "ICMPv6", 1, 58)
MAX_RULES, MAX_NETS, MAX_PORTS, MAX_HTTP, MAX_PATH = 1024, 256, 50, 20, 1024


def rules(
    ingress: tuple[Rule, ...], egress: tuple[Rule, ...], *, everywhere: bool = True, at: str = "spec"
) -> Iterator[Problem]:
    """Both lists; `everywhere`: of a profile or global policy, which has no namespace to look for services in."""
    for direction, found in (("ingress", ingress), ("egress", egress)):
        if len(found) > MAX_RULES:
            yield Problem(f"{at}.{direction}", f"has more than {MAX_RULES} rules")
        for number, item in enumerate(found):
            field = f"{at}.{direction}[{number}]"
            yield from _rule(field, item)
            yield from _services(field, item, ingress=direction == "ingress", everywhere=everywhere)
            if item.http is not None:
                yield from _http(f"{field}.http", item, item.http, ingress=direction == "ingress")


def _rule(field: str, found: Rule) -> Iterator[Problem]:
    yield from checks.protocol(f"{field}.protocol", found.protocol)
    yield from checks.protocol(f"{field}.notProtocol", found.not_protocol)
    for end, icmp in (("icmp", found.icmp), ("notICMP", found.not_icmp)):
        if icmp is not None:
            yield from _icmp(f"{field}.{end}", icmp, found.protocol)
    for end, side in (("source", found.source), ("destination", found.destination)):
        yield from _entity(f"{field}.{end}", side, found.protocol)
    if found.ip_version == (6 if found.protocol in ("ICMP", 1) else 4) and found.protocol in ICMPS:
        yield Problem(f"{field}.ipVersion", f"protocol {found.protocol} does not exist in IPv{found.ip_version}")
    nets = (*found.source.nets, *found.source.not_nets, *found.destination.nets, *found.destination.not_nets)
    families = set(_families(nets)) | ({found.ip_version} if found.ip_version else set())
    if len(families) > 1:
        yield Problem(field, "mixes IPv4 and IPv6")
    if found.metadata is not None:
        yield from checks.annotation_size(f"{field}.metadata.annotations", found.metadata.annotations)


def _entity(field: str, side: EntityRule, over: Protocol | None) -> Iterator[Problem]:
    for end, nets in (("nets", side.nets), ("notNets", side.not_nets)):
        if len(nets) > MAX_NETS:
            yield Problem(f"{field}.{end}", f"has more than {MAX_NETS} networks")
        for net in nets:
            yield from checks.cidr(f"{field}.{end}", net)
    for net in {"0.0.0.0/0", "::/0"}.intersection(side.not_nets):
        yield Problem(f"{field}.notNets", f"{net} would leave nothing")
    yield from checks.selector(f"{field}.selector", side.selector)
    yield from checks.selector(f"{field}.notSelector", side.not_selector)
    yield from checks.selector(f"{field}.namespaceSelector", side.namespace_selector, or_global=True)
    if side.service_accounts is not None:
        yield from _service_accounts(f"{field}.serviceAccounts", side.service_accounts)
    for end, ports in (("ports", side.ports), ("notPorts", side.not_ports)):
        if len(ports) > MAX_PORTS:
            yield Problem(f"{field}.{end}", f"has more than {MAX_PORTS} ports")
        for item in ports:
            yield from checks.port(f"{field}.{end}", item)
        if over not in WITH_PORTS and any(not _named(item) for item in ports):
            yield Problem(f"{field}.{end}", "numeric ports need protocol TCP, UDP or SCTP")
        elif over not in (None, *WITH_PORTS) and ports:
            yield Problem(f"{field}.{end}", "named ports need protocol TCP, UDP or SCTP, or none")


def _service_accounts(field: str, match: ServiceAccountMatch) -> Iterator[Problem]:
    for name in match.names:
        yield from checks.name(f"{field}.names", name)
    yield from checks.selector(f"{field}.selector", match.selector)


def _services(field: str, found: Rule, *, ingress: bool, everywhere: bool) -> Iterator[Problem]:
    for end, side, wrong in (("source", found.source, not ingress), ("destination", found.destination, ingress)):
        if side.services is None:
            continue
        at = f"{field}.{end}.services"
        if wrong:
            yield Problem(at, "services are for the source of ingress and the destination of egress rules only")
        if not side.services.name:
            yield Problem(f"{at}.name", "is missing")
        if everywhere and not side.services.namespace:
            yield Problem(f"{at}.namespace", "is needed in a policy without a namespace")
        others = {
            "nets": side.nets,
            "notNets": side.not_nets,
            "selector": side.selector,
            "notSelector": side.not_selector,
            "namespaceSelector": side.namespace_selector,
            "serviceAccounts": side.service_accounts,
            "ports": end == "destination" and (side.ports or side.not_ports),
        }
        clash = [name for name, value in others.items() if value]
        if clash:
            yield Problem(at, f"services cannot stand beside {', '.join(clash)}")


def _http(field: str, found: Rule, match: HttpMatch, *, ingress: bool) -> Iterator[Problem]:
    if not ingress:
        yield Problem(field, "is for ingress rules only")
    if found.action != "Allow":
        yield Problem(field, "is for rules with action Allow only")
    if found.protocol not in (None, "TCP", 6):
        yield Problem(field, "needs protocol TCP or none")
    for end, several in (("methods", match.methods), ("paths", match.paths)):
        if len(several) > MAX_HTTP:
            yield Problem(f"{field}.{end}", f"has more than {MAX_HTTP} values")
    if len(set(match.methods)) < len(match.methods):
        yield Problem(f"{field}.methods", "names one method twice")
    for path in match.paths:
        yield from _path(f"{field}.paths", path)


def _path(field: str, path: HttpPath) -> Iterator[Problem]:
    given = [text for text in (path.exact, path.prefix) if text is not None]
    if len(given) != 1:
        yield Problem(field, "each needs exactly one of exact and prefix")
    for text in given:
        if len(text) > MAX_PATH or not text.startswith("/") or any(sign in text for sign in "?# "):
            yield Problem(field, f"{text!r} is no path: up to {MAX_PATH} characters from '/', without '?', '#', space")


def _icmp(field: str, icmp: Icmp, over: Protocol | None) -> Iterator[Problem]:
    if over not in ICMPS:
        yield Problem(field, "needs protocol ICMP or ICMPv6")
    yield from checks.between(f"{field}.type", icmp.type, 0, 254)
    if icmp.code is not None and icmp.type is None:
        yield Problem(f"{field}.code", "needs a type")
    yield from checks.between(f"{field}.code", icmp.code, 0, 255)


def _named(value: Port) -> bool:
    return isinstance(value, str) and ":" not in value


def _families(nets: Iterable[str]) -> Iterator[int]:
    """IP versions of the networks that parse."""
    for net in nets:
        try:
            yield ip_network(net, strict=False).version
        except ValueError:
            continue
