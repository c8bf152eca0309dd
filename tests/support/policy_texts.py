"""Files about policy in every form, as texts."""

from __future__ import annotations

V3 = "apiVersion: projectcalico.org/v3\n"
POLICY = V3 + "kind: GlobalNetworkPolicy\nmetadata: {name: p}\nspec: {selector: app == 'b', types: [Ingress]}\n"
V1_PROFILE = "apiVersion: v1\nkind: profile\nmetadata: {name: Web, tags: [web]}\nspec: {egress: [{action: allow}]}\n"
V1_ENDPOINT = (
    "apiVersion: v1\nkind: workloadEndpoint\n"
    "metadata: {name: eth0, workload: web, orchestrator: docker, node: n1, labels: {app: a}}\n"
    "spec: {ipNetworks: [10.0.0.1], profiles: [Web], interfaceName: cali1, mac: '02:00:00:00:00:01'}\n"
)
PODS = """\
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: x}}}
- apiVersion: v1
  kind: Pod
  metadata: {name: web, namespace: shop, labels: {app: web}}
  spec: {nodeName: n1, containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}
  status: {podIP: 10.1.0.1, phase: Running}
- {apiVersion: v1, kind: Pod, metadata: {name: db, namespace: shop, labels: {app: db}}, spec: {containers: []}}
- {apiVersion: v1, kind: Pod, metadata: {name: other, labels: {app: web}}, spec: {containers: []}}
- {apiVersion: v1, kind: Pod, metadata: {name: done}, spec: {nodeName: n1}, status: {phase: Succeeded, podIP: 10.1.0.9}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}]
"""
MORE = f"""\
{V3}kind: HostEndpoint
metadata: {{name: h, labels: {{host: ''}}}}
spec:
  {{node: n1, interfaceName: '*', expectedIPs: [10.9.9.9], profiles: [Web],
   ports: [{{name: a, protocol: TCP, port: 1}}]}}
---
{V3}kind: Node
metadata: {{name: n1}}
spec: {{bgp: {{ipv4Address: 10.9.9.9/24}}, addresses: [{{address: 10.9.9.8}}]}}
---
{V3}kind: FelixConfiguration
metadata: {{name: default}}
spec: {{hostServices: Enabled, failsafeInboundHostPorts: [{{protocol: TCP, port: 22, net: 10.0.0.0/8}}]}}
---
{V3}kind: IPPool
metadata: {{name: p}}
spec: {{cidr: 10.0.0.0/16, natOutgoing: true}}
---
{V3}kind: NetworkSet
metadata: {{name: s, namespace: ns}}
spec: {{nets: [192.0.2.0/24]}}
---
{V3}kind: NetworkPolicy
metadata: {{name: q, namespace: ns}}
spec:
  selector: all()
  types: [Ingress, Egress]
  ingress:
  - {{action: Allow, protocol: TCP, source: {{nets: [10.0.0.0/8]}}, destination: {{ports: [80, '90:95', name]}}}}
  egress: [{{action: Deny, protocol: ICMP, icmp: {{type: 8, code: 0}}}}, {{action: Allow, notProtocol: 6}}]
---
apiVersion: tortie/v1
kind: Assertion
metadata: {{name: a}}
spec: {{from: all(), to: [web, 10.0.0.0/8], ports: [tcp/80], expect: allow, exclusive: true}}
"""
