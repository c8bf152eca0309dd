"""The container of an app from JSON, in the forms before and after Marathon 1.5 (`networks`, `portMappings`)."""

from __future__ import annotations

from typing import Any

import msgspec

from tortie.marathon.model.app import Container, DiscoveryPort, Docker, IpAddress, Parameter, PortMapping, Volume
from tortie.marathon.model.place import (
    Place,
    fields,
    filled,
    flag,
    listed,
    mapped,
    need,
    one_of,
    take,
    text,
    whole,
)


def parameter(value: Any, place: Place) -> Parameter:
    given = fields(value, place)
    return Parameter(key=need(given, place, "key", filled) or "", value=need(given, place, "value", text) or "")


def port_mapping(value: Any, place: Place) -> PortMapping:
    given = fields(value, place)
    return PortMapping(
        container_port=take(given, place, "containerPort", whole, 0),
        host_port=take(given, place, "hostPort", whole, None),
        service_port=take(given, place, "servicePort", whole, 0),
        protocol=take(given, place, "protocol", text, "tcp"),
        name=take(given, place, "name", text, "") or None,
        labels=take(given, place, "labels", mapped(text), {}),
    )


def docker(value: Any, place: Place) -> Docker:
    given = fields(value, place)
    networks = one_of("BRIDGE", "HOST", "USER", "NONE", otherwise="{} is not a valid network type")
    network = take(given, place, "network", networks, "") or None
    mappings = take(given, place, "portMappings", listed(port_mapping), ())
    if "image" in given and given["image"] == "":
        place.at("image").say("must not be empty")
    return Docker(
        image=need(given, place, "image", text) or "",
        network=network,
        port_mappings=_mapped(mappings, network),
        privileged=take(given, place, "privileged", flag, False),
        parameters=take(given, place, "parameters", listed(parameter), ()),
        force_pull_image=take(given, place, "forcePullImage", flag, False),
    )


def _mapped(mappings: tuple[PortMapping, ...], network: str | None) -> tuple[PortMapping, ...]:
    """Mappings mean something on BRIDGE and USER only; a BRIDGE one without host port asks for any."""
    if network == "BRIDGE":
        return tuple(m if m.host_port is not None else msgspec.structs.replace(m, host_port=0) for m in mappings)
    return mappings if network == "USER" else ()


def volume(value: Any, place: Place) -> Volume:
    given = fields(value, place)
    if "persistent" in given:
        place.at("persistent").say("persistent volumes are not supported")
    if "external" in given:
        place.at("external").say(
            "Feature external_volumes is not enabled. Enable with --enable_features external_volumes)"
        )
    return Volume(
        container_path=need(given, place, "containerPath", filled) or "",
        host_path=need(given, place, "hostPath", filled) or "",
        mode=take(given, place, "mode", one_of("RO", "RW", otherwise="{} is not a valid mode"), "RW"),
    )


def container(value: Any, place: Place) -> Container:
    given = fields(value, place)
    kinds = one_of("DOCKER", "MESOS", otherwise="{} is not a valid container type")
    kind = take(given, place, "type", kinds, "DOCKER")
    engine = take(given, place, "docker", docker, None)
    if kind == "DOCKER" and engine is None:
        place.at("docker").say("must not be empty")
    if kind == "MESOS" and engine is not None:
        for key in ("portMappings", "network", "parameters"):
            if fields(given["docker"], place).get(key):
                place.at(key).say(f"Mesos Containerizer does not support {key}")
    return Container(type=kind, docker=engine, volumes=take(given, place, "volumes", listed(volume), ()))


def from_networks(given: dict[str, Any], read: dict[str, Any], place: Place) -> None:
    """Turns `networks` and `container.portMappings` of 1.5 and later into the older fields, in `read`."""
    held = fields(given.get("container", {}), Place())
    if "networks" not in given:
        if "portMappings" in held:
            _mappings(held, read, place, (read["container"].docker and read["container"].docker.network) or "BRIDGE")
        return
    if "ipAddress" in given:
        place.say("must not specify both networks and ipAddress")
    if fields(held.get("docker", {}), Place()).get("network"):
        place.say("must not specify both container.docker.network and networks")
    networks = listed(_network)(given["networks"], place.at("networks"))
    if len(networks) > 1:
        place.at("networks").say("only one network per app is supported")
    mode, name, labels = networks[0] if networks else ("host", "", {})
    if mode == "container":
        read["ip_address"] = IpAddress(network_name=name or None, labels=labels)
    engine = {"host": "HOST", "container": "USER", "container/bridge": "BRIDGE"}[mode]
    _on_network(read, engine)
    if "portMappings" in held:
        if mode == "host":
            place.say("portMappings are not allowed with host-networking")
        _mappings(held, read, place, engine)


def _network(value: Any, place: Place) -> tuple[str, str, dict[str, str]]:
    given = fields(value, place)
    modes = one_of("host", "container", "container/bridge", otherwise="{} is not a valid network mode")
    mode = take(given, place, "mode", modes, "container")
    name = take(given, place, "name", text, "")
    if mode == "container" and not name:
        place.say("Network name must be specified when container network is selected.")
    if mode != "container" and name:
        place.say(
            "Host networks may not have names or labels" if mode == "host" else "Bridge networks may not have names"
        )
    return (
        mode if mode in ("host", "container/bridge") else "container",
        name,
        take(given, place, "labels", mapped(text), {}),
    )


def _on_network(read: dict[str, Any], network: str) -> None:
    held: Container | None = read.get("container")
    if held and held.type == "DOCKER" and held.docker:
        engine = msgspec.structs.replace(held.docker, network=network)
        read["container"] = msgspec.structs.replace(held, docker=engine)


def _mappings(held: dict[str, Any], read: dict[str, Any], place: Place, network: str) -> None:
    where = place.at("container")
    mappings = take(held, where, "portMappings", listed(port_mapping), ())
    box: Container = read["container"]
    if box.type == "DOCKER" and box.docker:
        engine = msgspec.structs.replace(box.docker, network=network, port_mappings=_mapped(mappings, network))
        read["container"] = msgspec.structs.replace(box, docker=engine)
        return
    ports = tuple(
        DiscoveryPort(number=m.container_port, name=m.name or f"port{n}", protocol=m.protocol, labels=m.labels)
        for n, m in enumerate(mappings)
    )
    address: IpAddress = read.get("ip_address") or IpAddress()
    read["ip_address"] = msgspec.structs.replace(address, ports=ports)
