"""The Stars demo as files of apiVersion v1, as its document's commands leave the profiles after a step."""

from __future__ import annotations

from tortie.lab.walks.matrix import Party, Probe

PLACES = {
    "management-ui": ("192.168.255.254", "agent-1"),
    "client": ("192.168.0.1", "agent-1"),
    "frontend": ("192.168.1.1", "agent-2"),
    "backend": ("192.168.1.2", "agent-2"),
}
_UI = "{action: allow, protocol: tcp, source: {tag: management-ui}, destination: {ports: [9000]}}"


def _from(tag: str, port: int) -> str:
    return f"{{action: allow, protocol: tcp, source: {{tag: {tag}}}, destination: {{ports: [{port}]}}}}"


def inbound(step: str) -> dict[str, list[str]]:
    """The inbound rules of each profile after a step of the document: 3, 7, 8, 9a or 9b."""
    rules = {name: [f"{{action: allow, source: {{tag: {name}}}}}"] for name in PLACES}
    if step in ("7", "8", "9a", "9b"):
        rules["management-ui"] = ["{action: allow, protocol: tcp, destination: {ports: [9001]}}"]
    if step in ("8", "9a", "9b"):
        for name in ("client", "frontend", "backend"):
            rules[name].append(_UI)
    for port in {"9a": (9001,), "9b": (9001, 9000)}.get(step, ()):
        rules["frontend"].append(_from("client", port))
        rules["backend"].append(_from("frontend", port))
    return rules


def profile(name: str, rules: list[str]) -> str:
    listed = "".join(f"  - {rule}\n" for rule in rules)
    head = f"apiVersion: v1\nkind: profile\nmetadata: {{name: {name}, tags: [{name}]}}\nspec:\n"
    return f"{head}  ingress:\n{listed}  egress:\n  - {{action: allow}}\n"


def endpoint(name: str, network: str, address: str, node: str) -> str:
    interface = f"cali{address.replace('.', '')[-9:]}"
    return (
        "apiVersion: v1\nkind: workloadEndpoint\n"
        f"metadata: {{name: eth0, workload: {name}, orchestrator: docker, node: {node}}}\n"
        f"spec: {{interfaceName: {interface}, ipNetworks: [{address}/32], profiles: [{network}], "
        'mac: "02:00:00:00:00:01"}\n'
    )


def files(step: str, peers: int = 0) -> str:
    """Profiles and endpoints; `peers`: how many more containers each network has, on the other agent."""
    found = [profile(name, rules) for name, rules in inbound(step).items()]
    for number, (name, (address, node)) in enumerate(PLACES.items()):
        found.append(endpoint(name, name, address, node))
        other = "agent-2" if node == "agent-1" else "agent-1"
        found += [endpoint(f"{name}-peer{n}", name, f"192.168.{10 + number}.{n + 1}", other) for n in range(peers)]
    return "---\n".join(found)


def parties(peers: int = 0) -> dict[str, Party]:
    """The same as the walk-through's own matrix knows them, and somebody outside."""
    listens = {name: frozenset({Probe("tcp", 9001 if name == "management-ui" else 9000)}) for name in PLACES}
    found = {n: Party(n, "app", node, address, n, listens[n]) for n, (address, node) in PLACES.items()}
    for number, (name, (_, node)) in enumerate(PLACES.items()):
        other = "agent-2" if node == "agent-1" else "agent-1"
        for n in range(peers):
            found[f"{name}-peer{n}"] = Party(f"{name}-peer{n}", "peer", other, f"192.168.{10 + number}.{n + 1}", name)
    return {**found, "anywhere else": Party("laptop", "host", "laptop", "172.24.197.10")}
