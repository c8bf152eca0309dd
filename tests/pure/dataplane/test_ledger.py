"""The ledger: what a plan takes away, whatever was wanted at the moment when the table was read."""

from __future__ import annotations

import pytest
from tests.support.fake_table import FakeTable

from tortie.base.errors import Invalid
from tortie.dataplane.ledger import Ledger
from tortie.dataplane.want import Have, SetDef

ADDRESSES, NETWORKS = SetDef("ipv4_addr"), SetDef("ipv4_addr", interval=True)


def settle(ledger: Ledger, kernel: FakeTable) -> None:
    plan = ledger.plan()
    kernel.carry_out(plan, ledger)
    ledger.settled(plan)


def read(ledger: Ledger, kernel: FakeTable) -> None:
    """As the agent does: the elements of the sets that are wanted, no others."""
    have, wanted = kernel.have(), ledger.to_read(content=False)
    ledger.learn(Have(have.sets, have.chains, {name: have.elements[name] for name in wanted if name in have.sets}))


@pytest.mark.parametrize("definition", [ADDRESSES, NETWORKS])
def test_a_set_that_was_not_wanted_when_the_table_was_read_keeps_nothing_of_before(definition: SetDef) -> None:
    """Forgotten elements would stay in the set, and whoever has such an address would go on being let through."""
    ledger, kernel = Ledger(), FakeTable()
    ledger.put_set("s", definition)
    ledger.put_element("s", "10.0.0.1")
    settle(ledger, kernel)
    ledger.drop_set("s")
    read(ledger, kernel)
    assert not ledger.must_read
    ledger.put_set("s", definition)
    ledger.put_element("s", "10.0.0.2")
    assert ledger.must_read
    with pytest.raises(Invalid, match="read again"):
        ledger.plan()
    read(ledger, kernel)
    settle(ledger, kernel)
    assert set(kernel.have().elements["s"]) == {"10.0.0.2"}


def test_a_set_that_stays_unwanted_goes_without_being_read() -> None:
    ledger, kernel = Ledger(), FakeTable()
    ledger.put_set("s", ADDRESSES)
    ledger.put_element("s", "10.0.0.1")
    settle(ledger, kernel)
    ledger.drop_set("s")
    read(ledger, kernel)
    settle(ledger, kernel)
    assert kernel.have().sets == {}
    ledger.put_set("s", ADDRESSES)
    ledger.put_element("s", "10.0.0.2")
    settle(ledger, kernel)
    assert set(kernel.have().elements["s"]) == {"10.0.0.2"}
