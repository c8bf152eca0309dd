"""What is fuzzed. A target takes bytes and accepts only the errors that its parser declares: all others are findings.

Each says beside "no crash" what must hold of what was accepted.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from tests.fuzz import commands, names, seeds
from tests.fuzz.draw import Draw
from tortie.base.errors import Invalid, NotFound, Unavailable
from tortie.base.sources import Sources, documents
from tortie.cli.calicoctl import choose, go_template
from tortie.cli.calicoctl import configuration as client_configuration
from tortie.cli.calicoctl.columns import columns
from tortie.cli.calicoctl.era019 import endpoint, pool, profile, show
from tortie.cli.calicoctl.era019.line import Failure, UsageError
from tortie.cli.calicoctl.era3 import documents as v3
from tortie.cli.calicoctl.era3 import usage as usage3
from tortie.cli.calicoctl.era3.convert import convert
from tortie.cli.calicoctl.era13 import usage as usage13
from tortie.cli.calicoctl.session import Session
from tortie.cli.options import BadUsage, Options, read
from tortie.dataplane.render.bird import configuration
from tortie.model import kubernetes, kubernetes_pods
from tortie.model.codec import from_builtins
from tortie.model.eras import shown, written
from tortie.model.kinds import KINDS
from tortie.model.kinds.profile import PROFILE, ProfileSpec
from tortie.model.resource import API_VERSION, Metadata, Resource, decode, encode, problems, with_defaults, worded
from tortie.model.rule import Rule
from tortie.model.selector import parse
from tortie.model.v0.wire import from_wire, to_wire
from tortie.model.v0.words import rule_of_words, rule_text
from tortie.model.v1 import forms, shapes
from tortie.model.v1.rules import normal_rule
from tortie.node.brain import Brain
from tortie.plugins.docker import answers, messages
from tortie.policy import Packet, Service, World
from tortie.policy.compile import compile_rule
from tortie.policy.files import Case
from tortie.policy.matrices import table
from tortie.policy.path import Way
from tortie.policy.reading import Reader, world_of
from tortie.policy.restrict import keys_of, needs
from tortie.policy.tables import broken_lines, change_lines, table_csv, table_lines
from tortie.policy.whatif import changes
from tortie.store import transfer_file
from tortie.store.etcd import address, stream, wire
from tortie.store.port import Event

POOLS = ("192.168.0.0/16", "fd00::/48")
LABELS: tuple[dict[str, str], ...] = ({}, {"a": "b"}, {"a": "", "c": "b"}, {"c": "x", "pcns.a": "b"})
V1_SHAPES: tuple[tuple[str, Any, Any], ...] = (
    ("policy", shapes.Named, shapes.V1PolicySpec),
    ("profile", shapes.ProfileMetadata, shapes.V1ProfileSpec),
    ("workloadEndpoint", shapes.WorkloadEndpointMetadata, shapes.V1WorkloadEndpointSpec),
    ("hostEndpoint", shapes.HostEndpointMetadata, shapes.V1HostEndpointSpec),
    ("ipPool", shapes.PoolMetadata, shapes.V1PoolSpec),
    ("bgpPeer", shapes.PeerMetadata, shapes.V1PeerSpec),
    ("node", shapes.Named, shapes.V1NodeSpec),
)
MESSAGES: tuple[type[msgspec.Struct], ...] = (
    messages.RequestPool, messages.RequestAddress, messages.ReleaseAddress, messages.ReleasePool, messages.Discover,
    messages.CreateNetwork, messages.DeleteNetwork, messages.CreateEndpoint, messages.Join, messages.OfEndpoint,
)  # fmt: skip
REPLIES = (wire.RangeReply, wire.TxnReply, wire.WatchMessage, wire.GrantReply, wire.KeepAliveReply, wire.AuthReply)


class Every(frozenset[str]):
    """Holds every label: `has(t)` is the tag t in the flat form, whether there is such a tag or not."""

    def __contains__(self, item: object) -> bool:
        return True


EVERY = Every()
WORDS = [
    "profile",
    "endpoint",
    "pool",
    "rule",
    "tag",
    "add",
    "remove",
    "show",
    "inbound",
    "outbound",
    "range",
    "-f",
    "-",
    "--filename=x",
    "-o",
    "yaml",
    "--at=1",
    "--at",
    "--",
    "-",
    "policy",
    "--skip-exists",
    "--ipip",
    "--nat-outgoing",
    "10.0.0.0/8",
    "10.0.0.1",
    "release",
    "info",
    "--ip=1",
    "-n",
    "-A",
    "--host=h",
    "allow",
    "deny",
    "from",
    "to",
    "set",
    "append",
    "3",
    "x",
]


@dataclass(frozen=True)
class Target:
    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...] = ()


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _json(value: Any) -> bytes:
    """Also of what msgspec would not write: integers of any size, lone surrogates."""
    import json

    return json.dumps(value).encode()


def selector(data: bytes) -> None:
    """4.1-4.3: the canonical text means the same and is its own; the index's keys leave nothing out."""
    text = _text(data)
    try:
        found = parse(text)
    except Invalid:
        return
    again = parse(found.canonical)
    assert again == found
    assert again.canonical == found.canonical
    keys = needs(found.node)
    for labels in LABELS:
        matches = found.matches(labels)
        assert matches is again.matches(labels)
        assert keys is None or not matches or keys & set(keys_of(labels))


def rule(data: bytes) -> None:
    """3.3, 8.2: what is compiled can be judged; what the model takes is not refused for a form by the compiler."""
    raw = Draw(data).shaped(Rule)
    try:
        found = from_builtins(Rule, raw)
    except msgspec.MsgspecError:
        return
    faults = list(PROFILE.check(ProfileSpec(ingress=(found,))))
    with contextlib.suppress(Invalid):
        compile_rule(found)
        evaluated(found)
        return
    assert faults or raw, "an empty rule is always fit"


def evaluated(found: Rule) -> None:
    resource = Resource(
        kind=PROFILE, metadata=Metadata(name="open"), spec=ProfileSpec(ingress=(found,), egress=(found,))
    )
    world = World([seeds.workload("a", "10.0.0.1"), seeds.workload("b", "10.0.0.2"), resource])
    for service in (Service(6, 80), Service(17, 53), Service(1), Service(47)):
        world.converse(world.find("a"), world.find("b"), service)
    six = Packet("fd00::1", "fd00::2", 58, icmp=(128, 0))
    evaluator, local = world.engine.evaluator(), world.engine.local()
    for resolved in local.values():
        evaluator.ingress(resolved, six)


def kinds(data: bytes) -> None:
    """Chapter 3: any document is refused, faulty, or sound; and comes back as it was."""
    draw = Draw(data)
    kind = KINDS[draw.of(sorted(KINDS))]
    raw = {"metadata": draw.shaped(Metadata), "spec": draw.shaped(kind.spec), "status": draw.value(2)}
    try:
        found = decode(kind, _json(raw))
    except Invalid:
        return
    assert len(worded(found)) == len(problems(found))
    assert decode(kind, encode(found)) == found
    filled = with_defaults(found)
    assert with_defaults(filled) == filled
    if not problems(found):
        assert shown(written(found)).metadata.name == found.metadata.name


def words_019(data: bytes) -> None:
    """1.2: a rule by its words, which are its words again."""
    known = ("allow", "deny", "tcp", "udp", "icmp", "icmpv6", "from", "to", "ports", "tag", "cidr", "type", "code",
             "80", "80,443", "1:2", "1-2", "web", "10.0.0.0/8", "fd00::/8", "8", "0")  # fmt: skip
    with contextlib.suppress(Invalid):
        found = rule_of_words(Draw(data).words(known))
        assert rule_of_words(rule_text(found).split()) == found
        compile_rule(found)


def wire_019(data: bytes) -> None:
    """1.6: the flat JSON form, there and back."""
    draw = Draw(data)
    names = ("action", "protocol", "!protocol", "ip_version", "icmp_type", "icmp_code", "!icmp_type", "src_tag",
             "src_selector", "src_ports", "src_net", "src_nets", "!dst_tag", "!dst_ports", "dst_net", "!src_selector",
             "!src_tag")  # fmt: skip
    raw = {str(draw.of(names)): draw.value(2) for _ in range(draw.below(8))}
    if draw.below(4):
        raw["action"] = draw.of(("allow", "deny", "log", "next-tier"))
    with contextlib.suppress(Invalid):
        found = from_wire(raw)
        assert normal_rule(from_wire(to_wire(found)), EVERY) == normal_rule(found, EVERY)
        rule_text(found)
        stored = Resource(kind=PROFILE, metadata=Metadata(name="x"), spec=ProfileSpec(ingress=(found,)))
        assert decode(PROFILE, encode(stored)) == stored


def v1(data: bytes) -> None:
    """2.4, 7.1: what has a v1 form is the same resource again behind the way there and back."""
    draw = Draw(data)
    kind, metadata, spec = draw.of(V1_SHAPES)
    raw = {"apiVersion": "v1", "kind": kind, "metadata": draw.shaped(metadata), "spec": draw.shaped(spec)}
    try:
        found = forms.from_v1(raw)
    except Invalid:
        return
    forms.warnings(raw)
    with contextlib.suppress(forms.NoOldForm):
        document = forms.to_v1(found)
        again = forms.from_v1(document)
        assert forms.identity(document) == forms.identity(forms.to_v1(again))
        assert again.spec == forms.from_v1(forms.to_v1(again)).spec


def of_kubernetes(data: bytes) -> None:
    """7.2"""
    draw = Draw(data)
    for shape, read_it in (
        (kubernetes.Policy, kubernetes.network_policy),
        (kubernetes.Owner, kubernetes.namespace_profile),
        (kubernetes.Owner, kubernetes.account_profile),
        (kubernetes_pods.Pod, kubernetes_pods.pod_to_endpoint),
    ):
        raw = draw.shaped(shape)
        with contextlib.suppress(Invalid):
            made: Resource[Any] | None = read_it(raw)
            assert made is None or decode(made.kind, encode(made)).spec == made.spec


def files(data: bytes) -> None:
    """Documents as people give them to `-f`: bytes of any kind."""
    sources = Sources(lambda: data)
    with contextlib.suppress(Invalid):
        choose.by_files(sources.texts("-"))
    with contextlib.suppress(Invalid):
        documents("x.yaml", _text(data), several=False)
    with contextlib.suppress(Invalid):
        for item in v3.items_of_files(sources, ["-"])[0]:
            v3.faults(item.resource)
            v3.document(item.resource)
    with contextlib.suppress(Invalid, BadUsage):
        convert(Options((), {"--filename": ("-",)}), Session({}, sources))


def grammars(data: bytes) -> None:
    """1.1, 2.1, 3.6: words of three grammars, in any order."""
    draw = Draw(data)
    known = (*usage3.COMMANDS, *WORDS)
    words = draw.words(known)
    with contextlib.suppress(Invalid):
        choose.fixed(draw.text(), draw.text())
    choose.by_words(words)
    with contextlib.suppress(BadUsage):
        read(words, {**usage3.FILE_FLAGS, **usage3.GET_FLAGS}, {**usage3.FILE_VALUES, **usage3.OUTPUT})
    with contextlib.suppress(BadUsage):
        read(words, usage13.FLAGS["delete"], usage13.VALUES["get"])
    with contextlib.redirect_stderr(io.StringIO()):
        for command in (profile.command, endpoint.command, pool.command, pool.ipam, show.pool, show.endpoint):
            with contextlib.suppress(UsageError, Failure, Invalid):
                command(words)


def manifests(data: bytes) -> None:
    """2.4, 3.2-3.5, 7.2: whole files of documents that nearly make sense, of all eras."""
    draw = Draw(data)
    files(b"\n---\n".join(_json(document(draw)) for _ in range(1 + draw.below(3))))


def questions(data: bytes) -> None:
    """Chapter 8, by `why`, `matrix` and `whatif`: files of every form, and what is asked about them."""
    draw = Draw(data)
    reader, cases = Reader(), []
    for _ in range(2):
        chosen = [found for found in seeds.MANIFESTS if draw.below(3)]
        texts = [("f", _json(draw.changed(found) if draw.below(4) == 3 else found).decode()) for found in chosen]
        try:
            loaded = reader.read(texts)
            cases.append(Case(world_of(loaded.resources.values()), loaded.assertions, loaded.notes))
        except Invalid:
            return
    for case in cases:
        broken_lines(case.broken())
        table_csv(made := table(case.world, [Service(6, 80), Service(1)]))
        table_lines(made)
        source, destination = (str(draw.of((*seeds.ENDS, draw.text()))) for _ in range(2))
        ask(case, source, destination, str(draw.of(("tcp/80", "icmp", draw.text()))))
    before, after = (case.world for case in cases)
    change_lines(changes(before, after), (Way(before), Way(after)))
    assert not changes(before, before).items


def ask(case: Case, source: str, destination: str, service: str) -> None:
    with contextlib.suppress(Invalid, NotFound):
        text, answer = case.why(source, destination, service), case.ask(source, destination, service)
        assert text.startswith("ALLOWED" if answer.allowed else "DENIED")


def document(draw: Draw) -> dict[str, Any]:
    if draw.below(4) == 3:
        found: Any = draw.changed(draw.of(seeds.MANIFESTS))
        return found if isinstance(found, dict) else {}
    era = draw.below(3)
    if era == 0:
        kind = KINDS[draw.of(sorted(KINDS))]
        head, metadata, spec = (API_VERSION, kind.name), draw.shaped(Metadata), draw.shaped(kind.spec)
    elif era == 1:
        name, of_metadata, of_spec = draw.of(V1_SHAPES)
        head, metadata, spec = ("v1", name), draw.shaped(of_metadata), draw.shaped(of_spec)
    else:
        head = ("networking.k8s.io/v1", "NetworkPolicy")
        metadata, spec = draw.shaped(Metadata), draw.shaped(kubernetes.PolicySpec)
    return {"apiVersion": head[0], "kind": head[1], "metadata": metadata, "spec": spec}


def lines(data: bytes) -> None:
    """1.2-1.4, 2.1-2.5, 3.6: whole command lines on a store: an exit code of 0 or 1, and never a trace."""
    draw = Draw(data)
    grammar = draw.of(commands.GRAMMARS)
    words = commands.line(draw, commands.LINES[grammar])
    typed = _json(document(draw)) if draw.below(3) else commands.manifest(draw, draw.raw())
    assert commands.command(grammar, words, typed) in (0, 1)


def template(data: bytes) -> None:
    """2.1: `-o go-template`."""
    with contextlib.suppress(Invalid):
        go_template.render(_text(data), seeds.DOCUMENT)


def headings(data: bytes) -> None:
    """2.3: `-o custom-columns`."""
    found = columns("NAME", "NAME X", NAME="metadata.name", X=_text(data))
    with contextlib.suppress(Invalid):
        found.chosen(_text(data).split(","))
    found.cells["X"](seeds.DOCUMENT)


def places(data: bytes) -> None:
    """2.5, 3.6: addresses of etcd, configuration files, variables."""
    text = _text(data)
    with contextlib.suppress(Invalid):
        address.parse(text)
    with contextlib.suppress(Invalid):
        address.parse(f"etcd://{text}")
    choose.by_configuration(text)
    with contextlib.suppress(Invalid, Unavailable):
        client_configuration.configuration(text, None, {})
    with contextlib.suppress(Invalid, Unavailable):
        variables = ("ETCD_ENDPOINTS", "ETCD_AUTHORITY", "ETCD_SCHEME", "DATASTORE_TYPE")
        client_configuration.configuration(None, None, dict(zip(variables, text.split("\n"), strict=False)))
    with contextlib.suppress(Invalid):
        Service.parse(text)


def export(data: bytes) -> None:
    """The file of an export: what is read is what a render gives again."""
    with contextlib.suppress(Invalid):
        entries = transfer_file.read(data, ["/"])
        assert transfer_file.read(transfer_file.render(entries, 1), ["/"]) == entries


def etcd(data: bytes) -> None:
    """What some server says to a client of etcd."""
    for kind in REPLIES:
        with contextlib.suppress(Unavailable):
            wire.decode(data, kind)
    wire.failure_of(500, data)
    with contextlib.suppress(Unavailable):
        read_by = stream.Stream()
        for at in range(0, len(data), 7):
            read_by.feed(data[at : at + 7])


def docker(data: bytes) -> None:
    """What an engine posts to the driver."""
    draw = Draw(data)
    kind: Any = draw.of(MESSAGES)
    body = draw.rest() if draw.below(2) else _json(draw.shaped(kind))
    with contextlib.suppress(Invalid):
        message: Any = messages.parse(kind, body)
        if isinstance(message, messages.RequestPool):
            answers.request_pool(message, POOLS)
        elif isinstance(message, messages.RequestAddress):
            answers.address_wanted(message, POOLS)
        elif isinstance(message, messages.CreateNetwork):
            answers.check_network(message)
        elif isinstance(message, messages.CreateEndpoint):
            answers.endpoint_address(message.interface)


def events(data: bytes) -> list[Event]:
    """Keys of the store with values that nearly make sense."""
    draw, found = Draw(data), []
    kinds = ("Profile", "WorkloadEndpoint", "GlobalNetworkPolicy", "NetworkPolicy", "StagedNetworkPolicy", "Tier",
             "HostEndpoint", "NetworkSet", "GlobalNetworkSet", "Node", "FelixConfiguration", "IPPool")  # fmt: skip
    for number in range(1, 24):
        if draw.ended:
            break
        kind = KINDS[draw.of(kinds)]
        name, space = str(draw.of(("a", "b", "default"))), str(draw.of(("x", "y")))
        key = str(draw.of((kind.key(name, space), *seeds.IPAM_KEYS)) if draw.below(4) == 3 else kind.key(name, space))
        value: bytes | None = draw.raw() if draw.below(12) == 11 else None
        if draw.below(5):
            metadata: dict[str, Any] = {"name": name}
            if draw.below(3) and isinstance(said := draw.shaped(Metadata, 2), dict):
                metadata = {"namespace": space, **metadata, **said}
            spec = draw.shaped(kind.spec)
            if isinstance(spec, dict) and draw.below(2):
                spec |= {"node": "host-a", "interfaceName": f"cali{name}", "ipNetworks": [f"10.0.0.{number}/32"]}
            value = _json({"metadata": metadata, "spec": spec})
        if value and draw.below(16) == 15:
            at = draw.below(256) * len(value) // 256
            value = value[:at] + bytes([draw.below(256)]) + value[at + 1 :]
        found.append(Event(key, value, number))
    return found


def store_values(data: bytes) -> None:
    """5.2: what the node reads from a store that others write to. It ends where the last values say, whatever came
    before, and nothing is left when everything is gone."""
    told = events(data)
    one, two = Brain("host-a", "192.0.2.1/24"), Brain("host-a", "192.0.2.1/24")
    for event in told:
        one.learn(event)
        one.settle_routes()
    last = {event.key: event for event in told}
    for key in sorted(last, reverse=True):
        two.learn(last[key])
    two.settle_routes()
    assert picture(one) == picture(two)
    one.replace([])
    one.settle_routes()
    assert picture(one) == picture(Brain("host-a", "192.0.2.1/24"))


def picture(brain: Brain) -> dict[str, Any]:
    """What a brain knows that must not depend on the way there."""
    engine = brain.engine  # the fuzzer looks inside: these are what the table is made of
    return {
        "endpoints": engine.local(),
        "hosts": engine.local_hosts(),
        "rules": sorted(engine.rules_in_use(), key=repr),
        "uses": engine.uses(),
        "routes": brain.routes.want,
        "unreadable": {key: text for key, text in brain.unreadable.items() if not key.startswith("/calico/ipam")},
    }


def bgp(data: bytes) -> None:
    """3.5: what a node tells its BGP daemon is whole lines of its language, whatever the store holds."""
    draw, brain = Draw(data), Brain("host-a", "192.0.2.1/24")
    for number, (name, kind, spec) in enumerate(seeds.SPEAKERS, 1):
        said = (
            spec if draw.below(3) == 0 else draw.shaped(KINDS[kind].spec) if draw.below(3) == 2 else draw.changed(spec)
        )
        key = KINDS[kind].key(str(draw.of(("a", draw.text()))) if draw.below(8) == 7 else name)
        brain.learn(Event(key, _json({"metadata": {"name": name}, "spec": said}), number))
    plan = brain.speakers.plan({})
    if plan is None:
        return
    text = configuration(plan, brain.announced(), "/log").text
    assert text.count("{") == text.count("}")
    assert text.count('"') % 2 == 0
    assert LANGUAGE.fullmatch(text), text


# No line of ours holds anything else; a name of a filter stands in single quotes.
LANGUAGE = re.compile(r"[\w .,:;(){}\[\]<>=!~&|*+/\"'\n-]*")
TARGETS: dict[str, Target] = {
    "selector": Target(selector, seeds.SELECTORS),
    "rule": Target(rule),
    "kinds": Target(kinds),
    "words": Target(words_019),
    "wire": Target(wire_019),
    "v1": Target(v1),
    "kubernetes": Target(of_kubernetes),
    "files": Target(files, seeds.FILES),
    "manifests": Target(manifests),
    "questions": Target(questions),
    "grammars": Target(grammars),
    "lines": Target(lines),
    "template": Target(template, seeds.TEMPLATES),
    "headings": Target(headings, (b"metadata.name", b"NAME,X", b"x..y", b"spec.nets.0")),
    "places": Target(places, seeds.PLACES),
    "export": Target(export, seeds.EXPORTS),
    "etcd": Target(etcd, seeds.REPLIES),
    "docker": Target(docker),
    "store": Target(store_values),
    "bgp": Target(bgp),
    "dns-query": Target(names.query, names.QUERIES),
    "dns-reply": Target(names.reply, names.REPLIES),
    "dns-state": Target(names.shown),
    "dns-events": Target(names.heard),
    "dns-options": Target(names.options),
}
