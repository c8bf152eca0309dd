"""KubeControllersConfiguration `default`: settings of Calico's controllers for Kubernetes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from tortie.model import checks
from tortie.model.checks import Problem
from tortie.model.codec import Value
from tortie.model.named import check_default
from tortie.model.resource import Kind


class AutoHostEndpoint(Value, frozen=True, kw_only=True):
    auto_create: Literal["Enabled", "Disabled"] | None = None
    create_default_host_endpoint: Literal["Enabled", "Disabled"] | None = None
    templates: tuple[dict[str, Any], ...] = ()


class NodeController(Value, frozen=True, kw_only=True):
    reconciler_period: str | None = None
    sync_labels: Literal["Enabled", "Disabled"] | None = None
    host_endpoint: AutoHostEndpoint | None = None
    leak_grace_period: str | None = None


class Controller(Value, frozen=True, kw_only=True):
    reconciler_period: str | None = None


class LoadBalancerController(Value, frozen=True, kw_only=True):
    assign_ips: str | None = msgspec.field(default=None, name="assignIPs")


class MigrationController(Value, frozen=True, kw_only=True):
    policy_name_migrator: Literal["Enabled", "Disabled"] | None = None


class Controllers(Value, frozen=True, kw_only=True):
    node: NodeController | None = None
    policy: Controller | None = None
    workload_endpoint: Controller | None = None
    service_account: Controller | None = None
    namespace: Controller | None = None
    load_balancer: LoadBalancerController | None = None
    migration: MigrationController | None = None


class KubeControllersConfigurationSpec(Value, frozen=True, kw_only=True):
    log_severity_screen: str | None = None
    health_checks: Literal["Enabled", "Disabled"] | None = None
    etcd_v3_compaction_period: str | None = msgspec.field(default=None, name="etcdV3CompactionPeriod")
    prometheus_metrics_port: int | None = None
    controllers: Controllers | None = None
    debug_profile_port: int | None = None


def check(spec: KubeControllersConfigurationSpec) -> Iterator[Problem]:
    yield from checks.one_of("spec.logSeverityScreen", spec.log_severity_screen, checks.SEVERITIES)
    yield from checks.between("spec.prometheusMetricsPort", spec.prometheus_metrics_port, 0, 65535)
    yield from checks.between("spec.debugProfilePort", spec.debug_profile_port, 0, 65535)
    yield from checks.duration("spec.etcdV3CompactionPeriod", spec.etcd_v3_compaction_period)
    if spec.controllers is not None:
        yield from _check_controllers(spec.controllers)


def _check_controllers(found: Controllers) -> Iterator[Problem]:
    for end, part in (
        ("node", found.node),
        ("policy", found.policy),
        ("workloadEndpoint", found.workload_endpoint),
        ("serviceAccount", found.service_account),
        ("namespace", found.namespace),
    ):
        yield from checks.duration(f"spec.controllers.{end}.reconcilerPeriod", part.reconciler_period if part else None)
    if found.node is not None:
        yield from checks.duration("spec.controllers.node.leakGracePeriod", found.node.leak_grace_period)
    if found.load_balancer is not None:
        given, known = found.load_balancer.assign_ips, ("AllServices", "RequestedServicesOnly")
        yield from checks.one_of("spec.controllers.loadBalancer.assignIPs", given, known)


KUBE_CONTROLLERS_CONFIGURATION = Kind(
    name="KubeControllersConfiguration",
    plural="kubecontrollersconfigurations",
    spec=KubeControllersConfigurationSpec,
    check=check,
    check_whole=check_default,
)
