"""From the selectors that people write in v3 to selectors over an endpoint's own and inherited labels.

A namespace's labels reach its endpoints through profile `kns.NAME` as `pcns.KEY`, a service account's through `ksa.…`
as `pcsa.KEY`; `all()` of a namespaceSelector means "has a namespace", `global()` "has none".
"""

from __future__ import annotations

import msgspec

from tortie.base.errors import Invalid
from tortie.model.rule import EntityRule, Rule
from tortie.model.selector import Selector, parse
from tortie.model.selector.nodes import All, And, Equal, Global, Has, In, Node, Not, Or, map_labels

NAMESPACE = "projectcalico.org/namespace"
SERVICE_ACCOUNT = "projectcalico.org/serviceaccount"
OF_NAMESPACE, OF_SERVICE_ACCOUNT = "pcns.", "pcsa."


def policy_selector(selector: str, *, namespace: str | None, namespaces: str = "", accounts: str = "") -> Selector:
    """Which endpoints a policy is about; `namespace`: that of a namespaced policy."""
    terms = _terms(selector)
    if namespace is not None:
        terms.append(Equal(NAMESPACE, namespace))
    if namespaces:
        terms.append(_in_namespaces(namespaces, allow_global=False))
    if accounts:
        terms.append(_of_accounts(accounts))
    return _joined(terms)


def rewritten(rule: Rule, namespace: str | None) -> Rule:
    """The rule with both sides' namespace and service account conditions folded into their selectors."""
    source, destination = _side(rule.source, namespace), _side(rule.destination, namespace)
    if source is rule.source and destination is rule.destination:
        return rule
    return msgspec.structs.replace(rule, source=source, destination=destination)


def _side(entity: EntityRule, namespace: str | None) -> EntityRule:
    terms = _terms(entity.selector)
    accounts = entity.service_accounts
    if accounts is not None:
        if accounts.unknown:
            raise Invalid(f"serviceAccounts: {', '.join(name for name, _ in accounts.unknown)} cannot be enforced")
        if accounts.names:
            terms.append(In(SERVICE_ACCOUNT, frozenset(accounts.names)))
        if accounts.selector:
            terms.append(_of_accounts(accounts.selector))
    if entity.namespace_selector:
        terms.append(_in_namespaces(entity.namespace_selector, allow_global=True))
    elif namespace is not None and (terms or entity.not_selector or accounts is not None):
        terms.append(Equal(NAMESPACE, namespace))
    if not terms:
        return entity
    selector = _joined(terms).canonical
    return msgspec.structs.replace(entity, selector=selector, namespace_selector="", service_accounts=None)


def _terms(text: str) -> list[Node]:
    """Of the selector as written. An empty one says nothing; `global()` outside a namespaceSelector is refused."""
    if not text:
        return []
    node = parse(text).node
    if _mentions_global(node):
        raise Invalid("global() can only be used in a rule's namespaceSelector")
    return [node]


def _joined(terms: list[Node]) -> Selector:
    if not terms:
        return Selector.of(All())
    return Selector.of(terms[0] if len(terms) == 1 else And(tuple(terms)))


def _in_namespaces(text: str, *, allow_global: bool) -> Node:
    node = parse(text).node
    if not allow_global and _mentions_global(node):
        raise Invalid("global() can only be used in a rule's namespaceSelector")
    return _placed(map_labels(node, lambda label: OF_NAMESPACE + label))


def _placed(node: Node) -> Node:
    if isinstance(node, All):
        return Has(NAMESPACE)
    if isinstance(node, Global):
        return Not(Has(NAMESPACE))
    if isinstance(node, Not):
        return Not(_placed(node.operand))
    if isinstance(node, And | Or):
        return type(node)(tuple(_placed(operand) for operand in node.operands))
    return node


def _of_accounts(text: str) -> Node:
    node = parse(text).node
    if _mentions_global(node):
        raise Invalid("global() can only be used in a rule's namespaceSelector")
    return map_labels(node, lambda label: OF_SERVICE_ACCOUNT + label)


def _mentions_global(node: Node) -> bool:
    if isinstance(node, Not):
        return _mentions_global(node.operand)
    if isinstance(node, And | Or):
        return any(_mentions_global(operand) for operand in node.operands)
    return isinstance(node, Global)
