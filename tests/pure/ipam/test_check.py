"""What `check` finds in books that somebody damaged, and that the mend of each finding makes it go away.

Sections are those of calico-model.md."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.ipam.assign import Pool
from tortie.ipam.block import Claimant, assign_address, new_block, release
from tortie.ipam.books import Books, after, read_books
from tortie.ipam.check import Finding, FreeHandle, LiveSet, Report, Unclaim, agreed, check, spare_blocks
from tortie.ipam.mend import writes_of
from tortie.model.codec import to_json
from tortie.model.ipam import Affinity, Block, Handle, affinity_key, block_key, handle_key
from tortie.store.port import KeyValue

NOW = 1_800_000_000.0
A, B = IPv4Network("10.65.0.0/29"), IPv4Network("10.65.0.8/29")
POOLS = [Pool(ip_network("10.65.0.0/24"), 29)]
GIVEN = "2027-01-15 08:00:00 +0000 UTC"  # is NOW
OLD = "2027-01-15 07:45:00 +0000 UTC"  # 15 minutes before


def block(cidr: IPv4Network = A, node: str = "host-a", **held: str) -> Block:
    """Keyword `h1="cni.x"`: the ordinal and its handle, all of the same old age."""
    made = new_block(cidr, node, NOW - 3600)
    for ordinal, handle in held.items():
        given = assign_address(made, cidr[int(ordinal[1:])], Claimant(handle, {"node": node, "timestamp": OLD}))
        assert given is not None
        made = given
    return made


def books(
    blocks: Sequence[Block] = (),
    handles: Mapping[str, Mapping[str, int]] | None = None,
    claims: Mapping[tuple[str, IPv4Network], str] | None = None,
) -> Books:
    """Each block claimed by its owner and each handle counted, unless said otherwise."""
    kvs = [KeyValue(block_key(ip_network(b.cidr)), to_json(b), 5, 5) for b in blocks]
    if handles is None:
        handles = {}
        for b in blocks:
            for index in b.allocations:
                name = b.attributes[index].handle_id if index is not None else None
                if name:
                    per = dict(handles.get(name, {}))
                    handles = {**handles, name: {**per, b.cidr: per.get(b.cidr, 0) + 1}}
    if claims is None:
        claims = {(b.node or "", IPv4Network(b.cidr)): "confirmed" for b in blocks if b.node}
    kvs += [KeyValue(handle_key(h), to_json(Handle(block=dict(c))), 6, 6) for h, c in handles.items()]
    kvs += [
        KeyValue(affinity_key(*claim), to_json(Affinity(state=state)), 7, 7)  # type: ignore[arg-type]
        for claim, state in claims.items()
    ]
    return read_books(kvs)


def look(
    found: Books,
    live: Collection[str] | None = ("cni.x",),
    *,
    nodes: Collection[str] = ("host-a", "host-b"),
    earlier: Mapping[str, float] | None = None,
    now: float = NOW,
    addresses: Mapping[str, str] | None = None,
) -> Report:
    source = LiveSet(source="cni", prefix="cni.", handles=live, addresses=addresses or {})
    return check(found, live=[source], nodes=nodes, pools=POOLS, now=now, earlier=earlier)


def mended(found: Books, report: Report, now: float = NOW) -> Books:
    for finding in report.findings:
        if finding.mend:
            found = after(found, writes_of(found, finding.mend, now=now, cooldown=0), 9)
    return found


def kinds(report: Report) -> list[str]:
    return [finding.kind for finding in report.findings]


def test_books_that_add_up() -> None:
    assert look(books([block(h0="cni.x"), block(B, "host-b", h3="cni.x")])).findings == ()


def test_6_4_a_leak_is_found_after_the_grace_and_its_handle_freed_whole() -> None:
    found = books([block(h0="cni.x", h1="cni.y"), block(B, "host-b", h3="cni.y")])
    assert look(found, now=NOW - 1).findings == ()
    assert set(look(found, now=NOW - 1).suspects) == {"cni.y"}
    report = look(found)
    assert [(f.kind, f.mend) for f in report.findings] == [("leak", FreeHandle("cni.y"))]
    now = mended(found, report)
    assert look(now).findings == ()
    assert [str(a.address) for a in now.allocations()] == ["10.65.0.0"]
    assert set(now.handles) == {"cni.x"}


def test_6_4_the_grace_runs_from_the_look_that_saw_it_first() -> None:
    found = books([block(h1="cni.y")])
    first = look(found, earlier={})
    assert (first.findings, dict(first.suspects)) == ((), {"cni.y": NOW})
    assert look(found, earlier=first.suspects, now=NOW + 899).findings == ()
    assert kinds(look(found, earlier=first.suspects, now=NOW + 900)) == ["leak"]
    assert dict(look(found, ["cni.y"], earlier=first.suspects, now=NOW + 900).suspects) == {}


def test_6_4_all_or_none_per_handle() -> None:
    """One address that nobody can speak for keeps the others."""
    foreign = assign_address(block(B, "host-b"), B[0], Claimant("cni.y", {"node": "host-c", "timestamp": OLD}))
    assert foreign is not None
    found = books([block(h1="cni.y"), foreign])
    source = LiveSet(source="cni", prefix="cni.", node="host-a", handles=())
    report = check(found, live=[source], nodes=["host-a", "host-b"], pools=POOLS, now=NOW)
    assert report.suspects == {}
    both = [source, LiveSet(source="cni", prefix="cni.", node="host-c", handles=())]
    report = check(found, live=both, nodes=["host-a", "host-b"], pools=POOLS, now=NOW)
    assert kinds(report) == ["leak"]


def test_a_source_that_does_not_answer_counts_as_all_alive() -> None:
    found = books([block(h1="cni.y")])
    assert look(found, None).suspects == {}
    silent = LiveSet(source="b", prefix="cni.", handles=None)
    answering = LiveSet(source="a", prefix="cni.", handles=())
    assert check(found, live=[answering, silent], nodes=["host-a"], pools=POOLS, now=NOW).suspects == {}


@pytest.mark.parametrize("attributes", [{}, {"node": "host-a"}, {"node": "host-a", "timestamp": "yesterday"}])
def test_6_4_missing_attributes_count_as_alive(attributes: dict[str, str]) -> None:
    given = assign_address(block(), A[0], Claimant("cni.y", attributes))
    assert given is not None
    assert look(books([given]), ()).findings == ()


def test_6_5_no_handle_counts_as_alive_and_a_handle_ends_at_a_carriage_return() -> None:
    given = assign_address(block(h1="cni.y\rmore"), A[0], Claimant(None, {"node": "host-a", "timestamp": OLD}))
    assert given is not None
    assert look(books([given], {"cni.y": {str(A): 1}}), ["cni.y"]).findings == ()


def test_addresses_in_use_that_the_books_do_not_know() -> None:
    report = look(books([block(h1="cni.x")]), addresses={"10.65.0.1": "cni.x", "10.65.0.2": "cni.x"})
    assert [(f.kind, f.subject, f.mend) for f in report.findings] == [("not-allocated", "10.65.0.2", None)]
    report = look(books([block(h1="cni.x")]), ["cni.x", "cni.y"], addresses={"10.65.0.1": "cni.y"})
    assert kinds(report) == ["wrong-handle"]


def test_6_2_a_count_too_high_or_too_low_is_put_right() -> None:
    for handles in ({"cni.x": {str(A): 3, str(B): 1}}, {}, {"cni.x": {str(A): 1}, "cni.gone": {str(A): 1}}):
        found = books([block(h1="cni.x")], handles)
        report = look(found)
        assert kinds(report) == ["count"]
        now = mended(found, report)
        assert look(now).findings == ()
        assert {h: k.value.block for h, k in now.handles.items()} == {"cni.x": {str(A): 1}}


@pytest.mark.parametrize(
    ("blocks", "claims", "left"),
    [
        ([], {("host-a", A): "pending"}, {}),
        ([], {("host-a", A): "confirmed"}, {}),
        ([block()], {("host-a", A): "pending"}, {("host-a", A): "confirmed"}),
        ([block()], {("host-a", A): "pendingDeletion"}, {("host-a", A): "confirmed"}),
        ([block()], {}, {("host-a", A): "confirmed"}),
        ([block()], {("host-a", A): "", ("host-b", A): "confirmed"}, {("host-a", A): ""}),
    ],
)
def test_6_2_claims_that_were_left_half_made(
    blocks: list[Block], claims: dict[tuple[str, IPv4Network], str], left: dict[tuple[str, IPv4Network], str]
) -> None:
    found = books(blocks, claims=claims)
    report = look(found)
    assert kinds(report) == ["claim"]
    now = mended(found, report)
    assert look(now).findings == ()
    assert {claim: kept.value.state for claim, kept in now.claims.items()} == left


def test_6_4_an_empty_block_of_a_node_that_is_gone_goes_too_one_in_use_is_only_named() -> None:
    found = books([block(), block(B, h1="cni.x")])
    report = look(found, nodes=["host-b"])
    assert [f.mend for f in report.findings] == [Unclaim("host-a", A), None]
    assert set(mended(found, report).blocks) == {B}
    unowned = books([block(h1="cni.x")], claims={})
    now = mended(unowned, look(unowned, nodes=["host-b"]))
    assert now.blocks[A].value.affinity is None
    assert [a.address for a in now.allocations()] == [A[1]]


def test_overlaps_blocks_outside_pools_and_garbage_are_named_and_left() -> None:
    wide = block(IPv4Network("10.65.0.0/28"), "host-b")
    assert kinds(look(books([block(), wide]))) == ["overlap"]
    assert kinds(look(books([block(IPv4Network("10.66.0.0/29"), h1="cni.x")]))) == ["outside-pools"]
    keys = [
        KeyValue(block_key(A), b'{"cidr":"10.65.0.8/29"}', 1, 1),
        KeyValue(handle_key("x"), b"\xff\xfe", 1, 1),
        KeyValue("/calico/ipam/v2/host/a/b", b"{}", 1, 1),
        KeyValue(block_key(B), to_json(block(B)).replace(b'"deleted":false', b'"deleted":true'), 1, 1),
    ]
    report = look(read_books(keys))
    assert kinds(report) == ["unreadable"] * 3
    assert all(finding.mend is None for finding in report.findings)


def test_only_what_two_looks_agree_on_is_mended() -> None:
    pending = books([], claims={("host-a", A): "pending"})
    assert agreed(look(pending), look(books([block()]))) == []
    assert [f.kind for f in agreed(look(pending), look(pending))] == ["claim"]


def test_a_cooling_address_is_nobodys() -> None:
    freed = release(block(h1="cni.y"), [ip_address("10.65.0.1")], NOW - 3600, 7200)
    assert freed is not None
    assert look(books([freed.block]), ()) == Report((), {})


@given(
    st.lists(st.tuples(st.integers(0, 7), st.sampled_from(["cni.x", "cni.y", "lb-1"])), unique_by=lambda t: t[0]),
    st.dictionaries(st.sampled_from(["cni.x", "cni.y", "z"]), st.dictionaries(st.just(str(A)), st.integers(0, 9))),
    st.dictionaries(
        st.tuples(st.sampled_from(["host-a", "host-b", "gone"]), st.sampled_from([A, B])),
        st.sampled_from(["", "pending", "confirmed", "pendingDeletion"]),
    ),
    st.sampled_from(["host-a", "gone"]),
)
def test_two_repairs_leave_nothing_that_can_be_mended(
    held: list[tuple[int, str]],
    handles: dict[str, dict[str, int]],
    claims: dict[tuple[str, IPv4Network], str],
    owner: str,
) -> None:
    """The second takes the block of a node that is gone once the first has freed the last leak in it."""
    found = books([block(A, owner, **{f"h{o}": name for o, name in held})], handles, claims)
    once = mended(found, look(found))
    now = mended(once, look(once))
    left: Sequence[Finding] = look(now).findings
    assert [finding for finding in left if finding.mend] == []
    assert {a.attribute.handle_id for a in now.allocations()} == {name for _, name in held} - {"cni.y"}


def test_6_4_empty_blocks_are_spare_but_never_the_nodes_last() -> None:
    six = ip_network("fd00::/125")
    assert isinstance(six, IPv6Network)
    mine = [block(A), block(B), new_block(six, "host-a", NOW), new_block(ip_network("10.65.0.16/29"), "host-b", NOW)]
    assert spare_blocks(books(mine, claims={}), "host-a", NOW, 0) == {B}
    mine[0] = block(A, h1="cni.x")
    assert spare_blocks(books(mine, claims={}), "host-a", NOW, 0) == {B}
    cooling = release(block(B, h1="cni.y"), [B[1]], NOW, 30)
    assert cooling is not None
    mine[1] = cooling.block
    assert spare_blocks(books(mine, claims={}), "host-a", NOW, 30) == set()
    assert spare_blocks(books(mine, claims={}), "host-a", NOW + 31, 30) == {B}


def test_a_finding_names_the_node_that_it_is_about() -> None:
    foreign = assign_address(block(A, h1="cni.y"), A[0], Claimant("cni.z", {"node": "host-b", "timestamp": OLD}))
    assert foreign is not None
    found = books([foreign, block(B, "host-b")], claims={("host-a", A): "pending"})
    both = assign_address(foreign, A[2], Claimant("cni.z", {"node": "host-a", "timestamp": OLD}))
    assert both is not None
    assert {(f.kind, f.node) for f in look(found).findings} == {
        ("leak", "host-a"),
        ("leak", "host-b"),
        ("claim", "host-a"),
        ("claim", "host-b"),
    }
    assert {f.subject: f.node for f in look(books([both])).findings} == {"cni.y": "host-a", "cni.z": ""}
    assert {f.node for f in look(books([block()], {"cni.a": {str(A): 2}})).findings} == {""}
