"""A table that keeps the rules of the kernel's one that matter to the ledger: nothing twice, nothing that is missing,
nothing in use."""

from __future__ import annotations

from tortie.dataplane import steps
from tortie.dataplane.ledger import Ledger, Plan
from tortie.dataplane.want import Have


class FakeTable:
    def __init__(self) -> None:
        self.sets: dict[str, str] = {}
        self.chains: dict[str, tuple[str, frozenset[str]]] = {}
        self.elements: dict[str, dict[str, str]] = {}

    def have(self) -> Have:
        return Have(
            dict(self.sets), {n: m for n, (m, _) in self.chains.items()}, {n: dict(e) for n, e in self.elements.items()}
        )

    def carry_out(self, plan: Plan, ledger: Ledger) -> None:
        """`prepare` must not touch what is there, or it could not go ahead."""
        before = self.have()
        for step in plan.prepare:
            self._do(step, ledger)
        after = self.have()
        for old, new in ((before.sets, after.sets), (before.chains, after.chains), (before.elements, after.elements)):
            assert {name: new[name] for name in old} == old
        for step in plan.commit:
            self._do(step, ledger)

    def _do(self, step: steps.Step, ledger: Ledger) -> None:
        match step:
            case steps.AddSet(name=name):
                assert name not in self.sets
                self.sets[name], self.elements[name] = ledger.defs[name].shape, {}
            case steps.DropSet(name=name):
                assert not [c for c, (_, uses) in self.chains.items() if name in uses], f"{name} is in use"
                del self.sets[name], self.elements[name]
            case steps.Members():
                for key, verdict in step.items:
                    self._change(step.put, step.set, key, verdict)
            case steps.AddChain(name=name):
                self.chains.setdefault(name, ("", frozenset()))
            case steps.ClearChain(name=name):
                assert name in self.chains
                self.chains[name] = ("", frozenset())
            case steps.DropChain(name=name):
                targets = {v.partition(" ")[2] for e in self.elements.values() for v in e.values()}
                assert name not in targets | {u for _, uses in self.chains.values() for u in uses}, f"{name} is in use"
                del self.chains[name]
            case steps.WriteRules(chain=name):
                assert name in self.chains
                missing = ledger.rules[name].uses - self.sets.keys() - self.chains.keys()
                assert not missing, f"{name} is loaded before {missing}"
                self.chains[name] = (step.mark, ledger.rules[name].uses)
            case steps.Replace():
                self.sets, self.chains, self.elements = {}, {}, {}

    def _change(self, put: bool, name: str, key: str, verdict: str) -> None:
        elements = self.elements[name]
        if put:
            assert elements.get(key, verdict) == verdict, f"{key} of {name} has another verdict"
            assert not verdict.startswith("goto ") or verdict[5:] in self.chains
            elements[key] = verdict
        else:
            del elements[key]
