"""Which of its addresses a host speaks with."""

from __future__ import annotations

from tortie.cli.host_address import found, of_listing


def test_an_address_that_will_go_is_the_last_choice() -> None:
    listed: list[dict[str, object]] = [
        {"ifname": "docker0", "addr_info": [{"local": "fd01::1", "prefixlen": 64}]},
        {
            "ifname": "eth0",
            "addr_info": [
                {"local": "fd09::aaaa", "prefixlen": 64, "temporary": True},
                {"local": "fd09::bbbb", "prefixlen": 64, "deprecated": True},
                {"local": "fd09::1", "prefixlen": 64},
            ],
        },
        {"ifname": "eth1"},
    ]
    own = of_listing(listed)
    assert [item.address for item in own] == ["fd01::1", "fd09::1", "fd09::aaaa", "fd09::bbbb"]
    assert found("first-found", own, 6) == "fd09::1/64"
    assert found("interface=docker.*", own, 6) == "fd01::1/64"
    assert found("interface=eth9", own, 6) == ""
