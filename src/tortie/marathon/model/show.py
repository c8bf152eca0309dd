"""Apps as Marathon 1.4 writes them."""

from __future__ import annotations

from typing import Any

from tortie.marathon.model.app import (
    App,
    Container,
    HealthCheck,
    IpAddress,
    PortMapping,
    ReadinessCheck,
    UnreachableStrategy,
)


def num(value: float) -> float | int:
    """Whole numbers without `.0`."""
    return int(value) if value == int(value) else value


def show_app(app: App) -> dict[str, Any]:
    """The definition; counts, tasks and deployments are added by who knows them. Unset fields are explicit nulls."""
    shown: dict[str, Any] = {
        "id": app.id,
        "cmd": app.cmd,
        "args": list(app.args) if app.args is not None else None,
        "user": app.user,
        "env": app.env,
        "instances": app.instances,
        "cpus": num(app.cpus),
        "mem": num(app.mem),
        "disk": num(app.disk),
        "gpus": app.gpus,
        "executor": app.executor,
        "constraints": [list(constraint) for constraint in app.constraints],
        "uris": [item.uri for item in app.fetch],
        "fetch": [_fetch(item) for item in app.fetch],
        "storeUrls": [],
        "backoffSeconds": num(app.backoff_seconds),
        "backoffFactor": app.backoff_factor,
        "maxLaunchDelaySeconds": num(app.max_launch_delay_seconds),
        "container": _container(app.container) if app.container else None,
        "healthChecks": [show_health(check) for check in app.health_checks],
        "readinessChecks": [_readiness(check) for check in app.readiness_checks],
        "dependencies": list(app.dependencies),
        "upgradeStrategy": {
            "minimumHealthCapacity": num(app.upgrade_strategy.minimum_health_capacity),
            "maximumOverCapacity": num(app.upgrade_strategy.maximum_over_capacity),
        },
        "labels": app.labels,
        "ipAddress": _ip_address(app.ip_address) if app.ip_address else None,
        "residency": None,
        "secrets": {},
        "taskKillGracePeriodSeconds": app.task_kill_grace_period_seconds,
        "unreachableStrategy": _unreachable(app.unreachable_strategy),
        "killSelection": app.kill_selection,
        "version": app.version,
        "versionInfo": {"lastScalingAt": app.scaled_version, "lastConfigChangeAt": app.config_version},
    }
    if app.accepted_resource_roles:
        shown["acceptedResourceRoles"] = list(app.accepted_resource_roles)
    if app.ip_address is None or app.mappings:
        shown["ports"] = list(app.service_ports)
        shown["portDefinitions"] = [
            {"port": d.port, "protocol": d.protocol} | _named(d.name) | {"labels": d.labels}
            for d in app.port_definitions
        ]
        shown["requirePorts"] = app.require_ports
    return shown


def _named(name: str | None) -> dict[str, Any]:
    return {"name": name} if name else {}


def _fetch(item: Any) -> dict[str, Any]:
    shown = {"uri": item.uri, "extract": item.extract, "executable": item.executable, "cache": item.cache}
    return shown | ({"destPath": item.output_file} if item.output_file else {})


def _container(container: Container) -> dict[str, Any]:
    volumes = [{"containerPath": v.container_path, "hostPath": v.host_path, "mode": v.mode} for v in container.volumes]
    shown: dict[str, Any] = {"type": container.type, "volumes": volumes}
    docker = container.docker
    if docker is None:
        return shown
    if container.type == "MESOS":
        shown["docker"] = {"image": docker.image, "credential": None, "forcePullImage": docker.force_pull_image}
        return shown
    shown["docker"] = {
        "image": docker.image,
        "network": docker.network,
        "portMappings": [_mapping(mapping) for mapping in docker.port_mappings],
        "privileged": docker.privileged,
        "parameters": [{"key": p.key, "value": p.value} for p in docker.parameters],
        "forcePullImage": docker.force_pull_image,
    }
    return shown


def _mapping(mapping: PortMapping) -> dict[str, Any]:
    shown: dict[str, Any] = {"containerPort": mapping.container_port}
    if mapping.host_port is not None:
        shown["hostPort"] = mapping.host_port
    shown |= {"servicePort": mapping.service_port, "protocol": mapping.protocol}
    return shown | _named(mapping.name) | {"labels": mapping.labels}


def _ip_address(address: IpAddress) -> dict[str, Any]:
    ports = [{"number": p.number, "name": p.name, "protocol": p.protocol, "labels": p.labels} for p in address.ports]
    shown: dict[str, Any] = {"groups": list(address.groups), "labels": address.labels, "discovery": {"ports": ports}}
    return shown | ({"networkName": address.network_name} if address.network_name else {})


def show_health(check: HealthCheck) -> dict[str, Any]:
    shown: dict[str, Any] = {"protocol": check.protocol}
    if check.path:
        shown["path"] = check.path
    if check.port is not None:
        shown["port"] = check.port
    if check.port_index is not None:
        shown["portIndex"] = check.port_index
    if check.command:
        shown["command"] = {"value": check.command}
    return shown | {
        "gracePeriodSeconds": num(check.grace_period_seconds),
        "intervalSeconds": num(check.interval_seconds),
        "timeoutSeconds": num(check.timeout_seconds),
        "maxConsecutiveFailures": check.max_consecutive_failures,
        "ignoreHttp1xx": check.ignore_http1xx,
        "delaySeconds": num(check.delay_seconds),
    }


def _readiness(check: ReadinessCheck) -> dict[str, Any]:
    return {
        "name": check.name,
        "protocol": check.protocol,
        "path": check.path,
        "portName": check.port_name,
        "intervalSeconds": num(check.interval_seconds),
        "timeoutSeconds": num(check.timeout_seconds),
        "httpStatusCodesForReady": list(check.codes),
        "preserveLastResponse": check.preserve_last_response,
    }


def _unreachable(strategy: UnreachableStrategy) -> Any:
    if strategy.inactive_after_seconds is None:
        return "disabled"
    return {
        "inactiveAfterSeconds": strategy.inactive_after_seconds,
        "expungeAfterSeconds": strategy.expunge_after_seconds,
    }
