"""Networks as numbers: the same answers as the standard library, which is slower."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tortie.policy.nets import collapsed, member, network, read

# Close together, so that they cover and complete each other.
FOURS = st.builds(lambda n, length: f"{ipaddress.IPv4Address(n)}/{length}", st.integers(0, 63), st.integers(26, 32))
WIDE = st.builds(
    lambda n, length: f"{ipaddress.IPv4Address(n)}/{length}", st.integers(0, 2**32 - 1), st.integers(0, 32)
)
SIXES = st.builds(lambda n, length: f"{ipaddress.IPv6Address(n)}/{length}", st.integers(0, 63), st.integers(122, 128))


@given(st.lists(FOURS | SIXES | WIDE, max_size=30))
def test_collapsed_is_what_the_standard_library_says(texts: list[str]) -> None:
    nets = {ipaddress.ip_network(text, strict=False) for text in texts}
    fours = [str(net) for net in ipaddress.collapse_addresses(n for n in nets if n.version == 4)]
    sixes = [str(net) for net in ipaddress.collapse_addresses(n for n in nets if n.version == 6)]
    assert collapsed(texts) == (*fours, *sixes)


@given(FOURS | SIXES | WIDE)
def test_members_and_numbers(text: str) -> None:
    net = ipaddress.ip_network(text, strict=False)
    alone = net.prefixlen == net.max_prefixlen
    assert member(text) == (str(net.network_address) if alone else str(net))
    free = net.max_prefixlen - net.prefixlen
    assert network(text) == (net.version, net.prefixlen, int(net.network_address) >> free)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("10.1.2.3", (4, 0x0A010203, 32)),
        ("10.1.2.3/8", (4, 0x0A000000, 8)),
        ("10.1.2.3/255.255.0.0", (4, 0x0A010000, 16)),
        ("0.0.0.0/0", (4, 0, 0)),
        ("2001:db8::1/32", (6, 0x20010DB8 << 96, 32)),
    ],
)
def test_written_in_other_ways(text: str, wanted: tuple[int, int, int]) -> None:
    assert read(text) == wanted


@pytest.mark.parametrize(
    "text",
    ["", "/", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/٨", "10.0.0", "10.0.0.01/8", "x",
     "::/129", "10.0.0.0/8/8", "10.0.0.0\0/8", " 10.0.0.0/8", "10.0.0.0/8 "],
)  # fmt: skip
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read(text)
    with pytest.raises(ValueError):
        ipaddress.ip_network(text, strict=False)
