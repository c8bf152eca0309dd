"""Every usage line of calicoctl 0.19 (calico-model.md 1.2 to 1.5) and 1.3 (2.1): at least one command line of it that
works, and one misuse. The tables must name every line that the program itself shows as its usage."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support.unix_server import answering
from tests.support.waiting import PATIENCE

from tortie.cli import host_address
from tortie.cli.calicoctl import checksystem, main, node_start, node_status
from tortie.cli.calicoctl.era019 import host
from tortie.cli.calicoctl.era019 import main as main019
from tortie.cli.calicoctl.era13 import usage as usage13
from tortie.ipam.allocator import Allocator
from tortie.model.kinds.bgp_configuration import BGP_CONFIGURATION, BGPConfigurationSpec
from tortie.model.kinds.felix_configuration import FELIX_CONFIGURATION
from tortie.model.kinds.ip_pool import IP_POOL, IPPoolSpec
from tortie.model.kinds.node import NODE, NodeBgp, NodeSpec
from tortie.model.kinds.workload_endpoint import WORKLOAD_ENDPOINT, WorkloadEndpointSpec
from tortie.model.resource import Kind, Metadata, Resource
from tortie.model.v0.profile import fresh_profile
from tortie.store.client import Client
from tortie.store.open import open_store

TOLD = "calicoctl: grammar 1.3, from a configuration of kind calicoApiConfig"
Calicoctl = Callable[[str, str], tuple[int, str]]

USAGE_SHOWN = "Usage:\n  calicoctl"
MISUSE_13 = "Invalid option: 'calicoctl "
BAD_IP = "Invalid IP address specified."
BAD_AS = "Invalid AS Number specified."
CONTAINER_ID = "c0ffee" * 10 + "c0ff"
FILE = "apiVersion: v1\nkind: profile\nmetadata: {name: new}\n"
FILE_WEB = "apiVersion: v1\nkind: profile\nmetadata: {name: web, tags: [web]}\n"

# Usage line: ({what works: a part of what it prints}, {misuse: a part of what it prints}).
OLD: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    # 1.2
    "profile show [--detailed]": (
        {"profile show": "| web  |", "profile show --detailed": " e1 "},
        {"profile show more": USAGE_SHOWN, "profile show --no-check": USAGE_SHOWN},
    ),
    "profile add <PROFILE>": (
        {"profile add db": "Created profile db", "profile add web": "Profile web already exists."},
        {"profile add": USAGE_SHOWN, "profile add a/b": "Profile names must be"},
    ),
    "profile remove <PROFILE> [--no-check]": (
        {"profile remove web": "Cannot remove profile", "profile remove web --no-check": "Deleted profile web"},
        {"profile remove": USAGE_SHOWN, "profile remove web --at=1": USAGE_SHOWN},
    ),
    "profile <PROFILE> tag show": ({"profile web tag show": "web"}, {"profile nobody tag show": "not found"}),
    "profile <PROFILE> tag (add|remove) <TAG>": (
        {"profile web tag add t": "Tag t added to profile web", "profile web tag remove web": "Tag web removed from"},
        {"profile web tag add": USAGE_SHOWN, "profile web tag remove t": "Tag t is not on profile web"},
    ),
    "profile <PROFILE> rule add (inbound|outbound) [--at=<POSITION>] <SPEC>": (
        {
            "profile web rule add inbound allow tcp to ports 80": "",
            "profile web rule add outbound --at=1 deny icmp type 8 code 0 to cidr 10.0.0.0/8": "",
            "profile web rule add inbound allow from tag web": "Rule already present, skipping.",
        },
        {
            "profile web rule add allow": USAGE_SHOWN,
            "profile web rule add inbound allow to ports 80": USAGE_SHOWN,
            "profile web rule add inbound allow tcp to ports 99999": "out-of-range",
        },
    ),
    "profile <PROFILE> rule remove (inbound|outbound) (--at=<POSITION>|<SPEC>)": (
        {"profile web rule remove inbound allow from tag web": "", "profile web rule remove outbound --at=1": ""},
        {"profile web rule remove inbound": USAGE_SHOWN, "profile web rule remove inbound deny": "Rule not found."},
    ),
    "profile <PROFILE> rule show": (
        {"profile web rule show": "Inbound rules:\n   1 allow from tag web\nOutbound rules:\n   1 allow\n"},
        {"profile web rule show all": USAGE_SHOWN},
    ),
    "profile <PROFILE> rule json": (
        {"profile web rule json": '{\n  "id": "web",'},
        {"profile web rule json 1": USAGE_SHOWN},
    ),
    "profile <PROFILE> rule update": (
        {"profile web rule update < rules": "Successfully updated rules on profile web"},
        {"profile web rule update now": USAGE_SHOWN, "profile web rule update < nothing": "The rules are not JSON"},
    ),
    # 1.3
    "endpoint show [--host=<HOSTNAME>] [--orchestrator=<ORCHESTRATOR_ID>] [--workload=<WORKLOAD_ID>] "
    "[--endpoint=<ENDPOINT_ID>] [--detailed]": (
        {
            "endpoint show": "Number of Endpoints",
            "endpoint show --host=host-a --endpoint=e1 --detailed": "192.168.0.5/32",
        },
        {"endpoint show e1": USAGE_SHOWN, "endpoint show --host": USAGE_SHOWN},
    ),
    "endpoint <ENDPOINT_ID> profile (append|remove|set) [--host=<HOSTNAME>] [--orchestrator=<ORCHESTRATOR_ID>] "
    "[--workload=<WORKLOAD_ID>] [<PROFILES>...]": (
        {
            "endpoint e1 profile append db --host=host-a": "Profile(s) db appended.",
            "endpoint e1 profile remove web": "Profile(s) web removed.",
            "endpoint e1 profile set": "Removed all profiles from endpoint.",
        },
        {"endpoint e1 profile change db": USAGE_SHOWN, "endpoint e9 profile set": "Endpoint e9 is unknown to Calico."},
    ),
    "endpoint <ENDPOINT_ID> profile show [--host=<HOSTNAME>] [--orchestrator=<ORCHESTRATOR_ID>] "
    "[--workload=<WORKLOAD_ID>]": (
        {"endpoint e1 profile show": "| web  |"},
        {"endpoint e1 profile show --detailed": USAGE_SHOWN, "endpoint e9 profile show": "is unknown to Calico."},
    ),
    # 1.4
    "pool add <CIDRS>... [--ipip] [--nat-outgoing]": (
        {"pool add 10.1.0.0/16 10.2.0.0/16 --nat-outgoing": "", "pool add 10.1.0.0/16 --ipip": ""},
        {
            "pool add": USAGE_SHOWN,
            "pool add 10.1.0.1/16": "Invalid CIDR specified",
            "pool add 192.168.8.0/24": "overlaps",
        },
    ),
    "pool range add <START_IP> <END_IP> [--ipip] [--nat-outgoing]": (
        {"pool range add 10.9.0.0 10.9.255.255": ""},
        {"pool range add 10.9.0.0": USAGE_SHOWN, "pool range add 10.9.0.9 10.9.0.1": "START_IP must be a smaller"},
    ),
    "pool remove <CIDRS>...": (
        {"pool remove 10.3.0.0/16": "Deleted IP Pool"},
        {"pool remove": USAGE_SHOWN, "pool remove 10.1.0.0/16": "10.1.0.0/16 is not a configured pool."},
    ),
    "pool show [--ipv4 | --ipv6]": (
        {"pool show --ipv4": "IPv4 CIDR", "pool show": "IPv6 CIDR"},
        {"pool show --ipv4 --ipv6": USAGE_SHOWN},
    ),
    "ipam release <IP>": (
        {"ipam release 192.168.0.5": "Address successfully released"},
        {"ipam release": USAGE_SHOWN, "ipam release 192.168.0.6": "Failed to release address"},
    ),
    "ipam info <IP>": (
        {"ipam info 192.168.0.6": "IP 192.168.0.6 is not currently assigned"},
        {"ipam info": USAGE_SHOWN, "ipam info 1.2.3": "Invalid IP address"},
    ),
    "bgp peer add <PEER_IP> as <AS_NUM>": (
        {"bgp peer add 192.0.2.9 as 64513": "", "bgp peer add 2001:db8::9 as 1.10": ""},
        {
            "bgp peer add 192.0.2.9": USAGE_SHOWN,
            "bgp peer add 192.0.2.9 is 64513": USAGE_SHOWN,
            "bgp peer add 192.0.2 as 70000.1": f"{BAD_IP}\n{BAD_AS}\n",
        },
    ),
    "bgp peer remove <PEER_IP>": (
        {"bgp peer remove 192.0.2.1": "BGP peer removed from global configuration"},
        {
            "bgp peer remove": USAGE_SHOWN,
            "bgp peer remove 192.0.2.7": "192.0.2.7 is not a globally configured peer.",
            "bgp peer remove x": BAD_IP,
        },
    ),
    "bgp peer show [--ipv4 | --ipv6]": (
        {
            "bgp peer show": "| Global IPv4 BGP Peer | AS Num |",
            "bgp peer show --ipv6": "No global IPv6 BGP Peers defined.\n\n",
        },
        {"bgp peer show --ipv4 --ipv6": USAGE_SHOWN, "bgp peer show all": USAGE_SHOWN},
    ),
    "bgp node-mesh [on|off]": (
        {"bgp node-mesh": "on\n", "bgp node-mesh off": "", "bgp node-mesh on": ""},
        {"bgp node-mesh maybe": USAGE_SHOWN, "bgp node-mesh --ipv4": USAGE_SHOWN},
    ),
    "bgp default-node-as [<AS_NUM>]": (
        {"bgp default-node-as": "64512\n", "bgp default-node-as 64999": ""},
        {
            "bgp default-node-as x": BAD_AS,
            "bgp default-node-as 4294967296": BAD_AS,
            "bgp default-node-as 1 2": USAGE_SHOWN,
        },
    ),
    # 1.5
    "node [--ip=<IP>] [--ip6=<IP6>] [--node-image=<IMAGE>] [--runtime=<RUNTIME>] [--as=<AS_NUM>] [--log-dir=<LOG_DIR>] "
    "[--detach=<DETACH>] [--no-pull] [(--libnetwork [--libnetwork-image=<IMAGE>])]": (
        {"node --runtime=none --ip=192.0.2.77 --as=64777 --node-image=any --no-pull": "WARNING: Could not confirm"},
        {
            "node --ip=1.2.3": "Invalid IPv4 address specified with --ip argument.",
            "node --ip6=fe80::1": "Invalid IPv6 address specified with --ip6 argument.",
            "node --ip6=1.2.3.4 --as=x": f"--ip6 argument.\n{BAD_AS}",
            "node --detach=false --libnetwork": "The only valid value for --detach is 'true' when using libnetwork",
            "node --runtime=lxc": "Runtime must be 'docker', 'rkt' or 'none'.",
            "node --libnetwork-image=x": USAGE_SHOWN,
            "node --ip=192.0.2.2 --runtime=none": "ERROR: IP address 192.0.2.2 is already in use by host host-b.",
            "node --ip=192.0.2.77": "is not assigned to this host.",
        },
    ),
    "node stop [--force]": (
        {"node stop --force": "Node stopped"},
        {"node stop": "Current host has active endpoints so can't be stopped.", "node stop now": USAGE_SHOWN},
    ),
    "node remove [--hostname=<HOSTNAME>] [--remove-endpoints]": (
        {
            "node remove --hostname=host-b": "Node configuration removed",
            "node remove --remove-endpoints --hostname=HOST-A": "Node configuration removed",
        },
        {"node remove": "The node has active Calico endpoints so can't be", "node remove host-b": USAGE_SHOWN},
    ),
    "node show": (
        {"node show": "|  host-a  | 192.0.2.1 |           | 64512 (inherited) |"},
        {"node show all": USAGE_SHOWN, "node show --force": USAGE_SHOWN},
    ),
    "node bgp peer add <PEER_IP> as <AS_NUM>": (
        {"node bgp peer add 192.0.2.8 as 64513": ""},
        {"node bgp peer add 192.0.2.8": USAGE_SHOWN, "node bgp peer add x as y": f"{BAD_IP}\n{BAD_AS}\n"},
    ),
    "node bgp peer remove <PEER_IP>": (
        {"node bgp peer remove 192.0.2.3": "BGP peer removed from node configuration"},
        {"node bgp peer remove 192.0.2.1": "192.0.2.1 is not a configured peer for this node."},
    ),
    "node bgp peer show [--ipv4 | --ipv6]": (
        {
            "node bgp peer show --ipv4": "| Node specific IPv4 BGP Peer | AS Num |\n",
            "node bgp peer show --ipv6": "No IPv6 BGP Peers defined for this node.\n\n",
        },
        {"node bgp peer show --force": USAGE_SHOWN, "node bgp peers": USAGE_SHOWN},
    ),
    "status [--runtime=<RUNTIME>]": (
        {"status": "running", "status --runtime=docker": "running"},
        {"status now": USAGE_SHOWN, "status --runtime=lxc": "Runtime must be"},
    ),
    # add, remove and ip need a container: tests/system/test_calicoctl_host.py.
    "container <CONTAINER> ip (add|remove) <IP> [--interface=<INTERFACE>]": (
        {},
        {
            "container web ip add 1.2.3": BAD_IP,
            "container web ip remove ipv4": BAD_IP,
            "container web ip add 192.168.0.9 --interface=a/b": "Invalid interface name specified: a/b",
            "container web ip add 192.168.0.9": "The addresses of web come from its Docker network",
            "container idle ip add 192.168.0.9": "idle is not currently running.",
            "container plain ip add 192.168.0.9": "Container is unknown to Calico.",
            "container nobody ip add 192.168.0.9": "Container nobody was not found.",
        },
    ),
    "container <CONTAINER> endpoint show": (
        {"container web endpoint show": " e1 ", f"container {CONTAINER_ID} endpoint show": " e1 "},
        {"container web endpoint": USAGE_SHOWN, "container nobody endpoint show": "Container nobody was not found."},
    ),
    "container <CONTAINER> profile (append|remove|set) [<PROFILES>...]": (
        {
            "container web profile append db": "Profile(s) db appended.",
            "container web profile remove web": "Profile(s) web removed.",
            "container web profile set web db": "Profile(s) set to web, db.",
        },
        {
            "container web profile show": USAGE_SHOWN,
            "container web profile append nobody": "Profile with name nobody was not found.",
            "container plain profile set": "Container is unknown to Calico.",
        },
    ),
    "container add <CONTAINER> <IP> [--interface=<INTERFACE>]": (
        {},
        {
            "container add web": USAGE_SHOWN,
            "container add web 10.0.0.300": BAD_IP,
            "container add web 192.168.0.9": "web has already been configured with Calico Networking.",
            "container add plain 10.77.0.1": "10.77.0.1 is not in any configured pools",
            "container add plain 10.77.0.0/16": "No pool found for 10.77.0.0/16.",
            "container add plain ipv6": "This node is not configured for IPv6.",
            "container add onhost 192.168.0.9": "Can't add onhost to Calico because it is running NetworkMode = host.",
            "container add idle 192.168.0.9": "idle is not currently running.",
        },
    ),
    "container remove <CONTAINER>": (
        {},
        {
            "container remove": USAGE_SHOWN,
            "container remove plain": "Failed find Calico data for plain",
            "container remove web": "web is on a Docker network",
        },
    ),
    "config felix <NAME> [<VALUE>|--remove] [--force]": (
        {
            "config felix loglevel": "No value configured",
            "config felix loglevel critical": "",
            "config felix loglevel --remove": "No value configured",
            "config felix IpInIpEnabled true --force": "",
            "config felix ReportingIntervalSecs 20 --force": "",
        },
        {
            "config felix": USAGE_SHOWN,
            "config felix loglevel info --remove": USAGE_SHOWN,
            "config felix loglevel loud": "The configuration value 'loud' is not recognized as a valid value.",
            "config felix colour red": "The configuration 'colour' is not recognized as a valid option.",
            "config felix colour red --force": "FelixConfiguration has no field for colour",
            "config felix ipipEnabled maybe --force": "invalid value 'maybe' of ipipEnabled",
        },
    ),
    "config bgp <NAME> [<VALUE>|--remove] [--force]": (
        {
            "config bgp loglevel debug": "",
            "config bgp loglevel": "No value configured",
            "config bgp as_num 64600 --force": "",
        },
        {"config bgp loglevel warning": "The configuration value 'warning' is not recognized as a"},
    ),
    "config node bgp <NAME> [<VALUE>|--remove] [--force]": (
        {"config node bgp loglevel debug": "", "config node bgp loglevel --remove": "No value configured"},
        {"config node felix loglevel debug": USAGE_SHOWN, "config node bgp loglevel error": "is not recognized"},
    ),
    "checksystem [--fix] [--libnetwork] [--runtime=<RUNTIME>]": (
        {},
        {"checksystem now": USAGE_SHOWN, "checksystem --runtime=x": "Runtime must be"},
    ),
    "diags [--log-dir=<LOG_DIR>]": (
        {"diags --log-dir=/nowhere": "Diags saved to "},
        {"diags all": USAGE_SHOWN, "diags --upload": USAGE_SHOWN},
    ),
}

NEW: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "create --filename=<FILENAME> [--skip-exists] [--config=<CONFIG>]": (
        {
            "create -f new": "Successfully created 1 'profile' resource(s)\n",
            "create --filename=web --skip-exists": "Successfully created 1 'profile' resource(s)\n",
        },
        {
            "create": MISUSE_13,
            "create -f web": "Failed to create 'profile' resource: resource already exists: Profile(name=web)\n",
            "create -f absent": "Failed to execute command: cannot read absent",
        },
    ),
    "apply --filename=<FILENAME> [--config=<CONFIG>]": (
        {"apply -f web": "Successfully applied 1 'profile' resource(s)\n"},
        {"apply web": MISUSE_13, "apply -f web --skip-exists": MISUSE_13},
    ),
    "replace --filename=<FILENAME> [--config=<CONFIG>]": (
        {"replace -f web": "Successfully replaced 1 'profile' resource(s)\n"},
        {"replace -f new": "Failed to replace 'profile' resource: resource does not exist: Profile(name=new)\n"},
    ),
    "delete ((<KIND> [<NAME>]) | --filename=<FILENAME>) [--scope=<SCOPE>] [--node=<NODE>] [--orchestrator=<ORCH>] "
    "[--workload=<WORKLOAD>] [--skip-not-exists] [--config=<CONFIG>]": (
        {
            "delete profile web": "Successfully deleted 1 'profile' resource(s)\n",
            "delete -f web": "Successfully deleted 1 'profile' resource(s)\n",
            "delete pro nobody -s": "Successfully deleted",
            "delete bgpPeer 192.0.2.1 --scope=global": "Successfully deleted 1 'bgpPeer' resource(s)\n",
        },
        {
            "delete": MISUSE_13,
            "delete profile nobody": "resource does not exist: Profile(name=nobody)",
            "delete wep e1 --node=host-a": "insufficient identifiers, missing",
        },
    ),
    "get ((<KIND> [<NAME>]) | --filename=<FILENAME>) [--scope=<SCOPE>] [--node=<NODE>] [--orchestrator=<ORCH>] "
    "[--workload=<WORKLOAD>] [--output=<OUTPUT>] [--config=<CONFIG>]": (
        {
            "get profiles": "NAME   \nweb    \n",
            "get pro nobody": "NAME   \n",
            "get node -o wide": "NAME",
            "get wep --node=host-a -o json": '"name": "e1"',
        },
        {
            "get": MISUSE_13,
            "get cake": "resource type 'cake' is not supported",
            "get node -o xml": "unrecognized output format",
        },
    ),
    "config set <NAME> <VALUE> [--node=<NODE>] [--raw=(bgp|felix)]": (
        {
            "config set logLevel debug": "",
            "config set logLevel error --node=host-a": "",
            "config set asNumber 1.10": "",
            "config set nodeToNodeMesh off": "",
            "config set DefaultEndpointToHostAction RETURN --raw=felix": "",
            'config set node_mesh {"enabled":false} --raw=bgp': "",
        },
        {
            "config set logLevel": MISUSE_13,
            "config set logLevel loud": "Error executing command: invalid value 'loud' of logLevel",
            "config set asNumber 0": "Error executing command: invalid value '0' of asNumber",
            "config set ipip on --node=host-a": "Error executing command: ipip is a setting of all nodes",
            "config set logLevel info --node=nobody": "Error executing command: node nobody does not exist",
            "config set x y --raw=felix": "Error executing command: FelixConfiguration has no field for x",
            "config set x y --raw=other": "Error executing command: --raw=other: there are felix and bgp",
        },
    ),
    "config unset <NAME> [--node=<NODE>] [--raw=(bgp|felix)]": (
        {"config unset logLevel": "", "config unset LogSeverityScreen --raw=felix": ""},
        {
            "config unset": MISUSE_13,
            "config unset colour": "Error executing command: unrecognized config name 'colour'",
        },
    ),
    "config get <NAME> [--node=<NODE>] [--raw=(bgp|felix)]": (
        {
            "config get asNumber": "64512 (unset)\n",
            "config get logLevel --node=host-a": "info (inherited from global)\n",
            "config get loglevel --raw=bgp": "(unset)\n",
        },
        {"config get": MISUSE_13, "config get logLevel now": MISUSE_13},
    ),
    "ipam release --ip=<IP>": (
        {"ipam release --ip=192.168.0.5": "Successfully released IP address 192.168.0.5\n"},
        {"ipam release": MISUSE_13, "ipam release --ip=192.168.0.6": "IP address 192.168.0.6 is not assigned\n"},
    ),
    "ipam show --ip=<IP>": (
        {"ipam show --ip=192.168.0.5": "o"},
        {"ipam show": MISUSE_13, "ipam show --ip=192.168.0.6": "192.168.0.6 is not assigned"},
    ),
    "node run [--ip=<IP>] [--ip6=<IP6>] [--as=<AS_NUM>] [--name=<NAME>] [--ip-autodetection-method=<METHOD>] "
    "[--ip6-autodetection-method=<METHOD>] [--log-dir=<LOG_DIR>] [--node-image=<IMAGE>] [--backend=bird] "
    "[--config=<CONFIG>] [--no-default-ippools] [--dryrun] [--init-system] [--disable-docker-networking] "
    "[--docker-networking-ifprefix=cali] [--use-docker-networking-container-labels]": (
        {
            "node run --ip=192.0.2.1 --dryrun --name=host-a": "node run --hostname host-a --address 192.0.2.1/24 ",
            "node run --dryrun --ip=autodetect --ip-autodetection-method=interface=eth.*": "--address 192.0.2.1/24",
            "node run --dryrun --name=x --disable-docker-networking": "--no-docker",
            "node run --dryrun --name=x --ip6=fd09::1": "--address 192.0.2.1/24 --address6 fd09::1/64 ",
            "node run --dryrun --name=x --ip6=autodetect": "--address6 fd09::1/64 ",
            "node run --dryrun --name=x --ip6-autodetection-method=interface=eth.*": "--address6 fd09::1/64 ",
        },
        {
            "node run now": MISUSE_13,
            "node run --ip=x --as=y --backend=gobgp": "--ip=x\nError executing command: --as: 'y' is no AS number\n",
            "node run --dryrun --ip6=fe80::1": "invalid IPv6 address --ip6=fe80::1",
            "node run --dryrun --ip6=fd09::7": "fd09::7 is no address of this host",
            "node run --dryrun --ip=192.0.2.77": "192.0.2.77 is no address of this host",
            "node run --dryrun --name=new --ip-autodetection-method=guess": "unknown way to find an address: 'guess'",
            "node run --dryrun --name=new --ip-autodetection-method=interface=(": "interface=(: ",
        },
    ),
    "node status": ({"node status": "Calico process is running."}, {"node status --ip=1.2.3.4": MISUSE_13}),
    "node diags [--log-dir=<LOG_DIR>]": (
        {"node diags --log-dir=/nowhere": "Diags saved to "},
        {"node diags all": MISUSE_13},
    ),
    "node checksystem": ({}, {"node checksystem now": MISUSE_13, "node checksystem --dryrun": MISUSE_13}),
    "version": ({"version": "Version:  "}, {"version 3": MISUSE_13}),
}


def rows(table: Mapping[str, tuple[dict[str, str], dict[str, str]]], which: int) -> list[tuple[str, str]]:
    return [(command, told) for cases in table.values() for command, told in cases[which].items()]


def usage_lines(texts: Mapping[str, str]) -> set[str]:
    """The usage lines in the program's own help, each on one line and without the program's name."""
    found = set()
    for text in texts.values():
        lines = text.partition("Usage:\n")[2].partition("\n\n")[0]
        joined = re.sub(r"\n {3,}(?=[\[(])", " ", lines)
        found |= {line.strip().removeprefix("calicoctl ") for line in joined.splitlines()}
    return found


def test_the_tables_name_every_line_of_the_usage() -> None:
    assert usage_lines(main019.USAGE) == set(OLD)
    assert usage_lines({word: usage13.of(word) for word in usage13.COMMANDS}) == set(NEW)


@pytest.fixture
def store(tmp_path: Path) -> Client:
    client = Client(open_store(f"sqlite://{tmp_path}/store"))
    for kind, name, spec in (
        (IP_POOL, "all", IPPoolSpec(cidr="192.168.0.0/16")),
        (IP_POOL, "other", IPPoolSpec(cidr="10.3.0.0/16")),
        (NODE, "host-a", NodeSpec(bgp=NodeBgp(ipv4_address="192.0.2.1/24"))),
        (NODE, "host-b", NodeSpec(bgp=NodeBgp(ipv4_address="192.0.2.2/24"))),
    ):
        made: Kind[Any] = kind
        client.create(Resource(kind=made, metadata=Metadata(name=name), spec=spec))
    client.create(fresh_profile("web"))
    endpoint = WorkloadEndpointSpec(
        node="host-a",
        orchestrator="libnetwork",
        workload="libnetwork",
        endpoint="e1",
        ip_networks=("192.168.0.5/32",),
        profiles=("web",),
    )
    name = "host--a-libnetwork-libnetwork-e1"
    client.create(Resource(kind=WORKLOAD_ENDPOINT, metadata=Metadata(name=name, namespace="libnetwork"), spec=endpoint))
    Allocator(client.datastore, "host-a").assign("192.168.0.5", "h", {}, now=time.time())
    return client


def container(name: str, *, running: bool = True, mode: str = "none", endpoint: str = "") -> dict[str, Any]:
    return {
        "Id": CONTAINER_ID if name == "web" else f"id-of-{name}",
        "State": {"Pid": 1 if running else 0, "Running": running},
        "HostConfig": {"NetworkMode": mode},
        "NetworkSettings": {"Networks": {"net": {"EndpointID": endpoint}}},
    }


@pytest.fixture
def environ(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The variables of host-a, with an engine and a node that answer."""
    containers = {
        "web": container("web", mode="net", endpoint="e1"),
        CONTAINER_ID: container("web", mode="net", endpoint="e1"),
        "plain": container("plain"),
        "idle": container("idle", running=False),
        "onhost": container("onhost", mode="host"),
    }
    engine = {f"/v1.41/containers/{name}/json": (200, value) for name, value in containers.items()}
    node = {"/liveness": (204, None), "/readiness": (204, None)}
    with answering(tmp_path / "node.sock", {**engine, **node}):
        (tmp_path / "engine.sock").hardlink_to(tmp_path / "node.sock")
        yield {
            "TORTIE_STORE": f"sqlite://{tmp_path}/store",
            "HOSTNAME": "host-a",
            "DOCKER_HOST": f"unix://{tmp_path}/engine.sock",
            "PATH": os.environ["PATH"],
        }


@pytest.fixture
def calicoctl(
    environ: dict[str, str],
    store: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Calicoctl:
    """Runs a line in a grammar; nothing of this machine is started, stopped or changed by it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(node_status, "SOCKET", str(tmp_path / "node.sock"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(host, "need_root", lambda: None)
    monkeypatch.setattr("tortie.cli.calicoctl.era019.node.need_root", lambda: None)
    monkeypatch.setattr("tortie.cli.calicoctl.era019.container.need_root", lambda: None)
    eth0 = [host_address.Own("lo", "127.0.0.1/8"), host_address.Own("eth0", "192.0.2.1/24")]
    six = [host_address.Own("eth0", "fd09::1/64")]
    monkeypatch.setattr(host_address, "own_addresses", lambda version=4: eth0 if version == 4 else six)
    monkeypatch.setattr(checksystem, "_fix", lambda: None)
    monkeypatch.setattr(node_start, "stop", lambda: None)
    for forbidden in ("start", "foreground", "enable_forwarding"):
        monkeypatch.setattr(node_start, forbidden, lambda *_: pytest.fail("a node would have been started"))
    for name, text in {"web": FILE_WEB, "new": FILE, "nothing": ""}.items():
        (tmp_path / name).write_text(text)
    rules = {"id": "web", "inbound_rules": [{"action": "deny"}], "outbound_rules": []}
    (tmp_path / "rules").write_text(json.dumps(rules))

    def call(grammar: str, line: str) -> tuple[int, str]:
        words, _, typed = line.partition(" < ")
        with open(tmp_path / (typed or "nothing"), "rb") as file, monkeypatch.context() as patch:
            patch.setattr("sys.stdin", type("Stdin", (), {"buffer": file}))
            code = main.run("calicoctl", words.split(), environ, grammar)
        told = capsys.readouterr()
        return code, told.out + told.err

    return call


def prepare(calicoctl: Calicoctl) -> None:
    """What the lines refer to, beside the store's first content."""
    for line in ("bgp peer add 192.0.2.1 as 64513", "node bgp peer add 192.0.2.3 as 64514"):
        assert calicoctl("0.19", line) == (0, "")


@pytest.mark.parametrize(("line", "told"), rows(OLD, 0))
def test_what_works_in_0_19(calicoctl: Calicoctl, store: Client, line: str, told: str) -> None:
    prepare(calicoctl)
    if line != "profile add db":
        store.create(fresh_profile("db"))
    if line.startswith("node remove"):
        Path("node.sock").unlink()  # it does not run
    code, shown = calicoctl("0.19", line)
    assert code == 0, shown
    assert told in shown
    assert told or not shown


@pytest.mark.parametrize(("line", "told"), rows(OLD, 1))
def test_misuse_of_0_19(calicoctl: Calicoctl, store: Client, line: str, told: str) -> None:
    prepare(calicoctl)
    before = store.datastore.list("/").revision
    if line == "node remove":
        Path("node.sock").unlink()
    code, shown = calicoctl("0.19", line)
    assert code == 1, shown
    assert told in shown
    assert store.datastore.list("/").revision == before, "nothing is half-done"


@pytest.mark.parametrize(("line", "told"), rows(NEW, 0))
def test_what_works_in_1_3(calicoctl: Calicoctl, line: str, told: str) -> None:
    prepare(calicoctl)
    code, shown = calicoctl("1.3", line)
    assert code == 0, shown
    assert told in shown
    assert told or not shown


@pytest.mark.parametrize(("line", "told"), rows(NEW, 1))
def test_misuse_of_1_3(calicoctl: Calicoctl, line: str, told: str) -> None:
    prepare(calicoctl)
    code, shown = calicoctl("1.3", line)
    assert code == 1, shown
    assert told in shown


def test_bgp_and_settings_are_the_same_resources_in_every_grammar(calicoctl: Calicoctl, store: Client) -> None:
    """What 0.19 sets is what 1.3 shows; 9.1.13: the number that is shown unset is the one that nodes take."""
    for line in (
        "bgp peer add 192.0.2.9 as 1.10",
        "bgp node-mesh off",
        "bgp default-node-as 64999",
        "node bgp peer add 192.0.2.9 as 64513",
        "config felix loglevel warning",
        "config bgp loglevel debug",
        "config node bgp loglevel info",
    ):
        assert calicoctl("0.19", line) == (0, "")
    assert calicoctl("0.19", "bgp node-mesh") == (0, "off\n")
    assert calicoctl("1.3", "config get nodeToNodeMesh") == (0, "off\n")
    assert calicoctl("1.3", "config get asNumber") == (0, "64999\n")
    assert calicoctl("1.3", "config get logLevel") == (0, "warning\n")
    assert calicoctl("1.3", "config get loglevel --raw=bgp") == (0, "Debug\n")
    lines = calicoctl("1.3", "get bgpPeer")[1].split("\n")
    assert [line.split() for line in lines if line] == [
        ["SCOPE", "PEERIP", "NODE", "ASN"],
        ["global", "192.0.2.9", "65546"],
        ["node", "192.0.2.9", "host-a", "64513"],
    ]
    assert calicoctl("0.19", "bgp peer add 192.0.2.9 as 7") == (0, "")
    assert calicoctl("0.19", "bgp peer show --ipv4") == (
        0,
        "+----------------------+--------+\n| Global IPv4 BGP Peer | AS Num |\n+----------------------+--------+\n"
        "| 192.0.2.9            | 7      |\n+----------------------+--------+\n",
    )
    assert store.get(BGP_CONFIGURATION, "node.host-a").spec.log_severity_screen == "Info"


def test_removing_a_node_takes_its_settings_and_peers_with_it(calicoctl: Calicoctl, store: Client) -> None:
    for line in ("bgp peer add 192.0.2.9 as 1", "node bgp peer add 192.0.2.8 as 2", "config node bgp loglevel debug"):
        assert calicoctl("0.19", line) == (0, "")
    Path("node.sock").unlink()
    assert calicoctl("0.19", "node remove --remove-endpoints") == (0, "Node configuration removed\n")
    assert store.find(NODE, "host-a") is None
    assert store.find(BGP_CONFIGURATION, "node.host-a") is None
    assert not store.list(WORKLOAD_ENDPOINT).items
    assert calicoctl("0.19", "node bgp peer show --ipv4")[1].startswith("No IPv4 BGP Peers")
    assert "192.0.2.9" in calicoctl("0.19", "bgp peer show")[1]
    assert calicoctl("0.19", "ipam info 192.168.0.5")[1] == "IP 192.168.0.5 is not currently assigned\n"


def test_raw_settings_are_fields_by_their_old_names(calicoctl: Calicoctl, store: Client) -> None:
    for line in (
        "config set IpInIpEnabled true --raw=felix",
        "config set DefaultEndpointToHostAction RETURN --raw=felix",
        "config set ReportingIntervalSecs 20 --raw=felix",
        "config set as_num 64600 --raw=bgp",
        'config set node_mesh {"enabled":false} --raw=bgp',
    ):
        assert calicoctl("1.3", line) == (0, "")
    felix = store.get(FELIX_CONFIGURATION, "default").spec
    assert (felix.ipip_enabled, felix.default_endpoint_to_host_action, felix.reporting_interval) == (
        True,
        "Return",
        "20s",
    )
    bgp = store.get(BGP_CONFIGURATION, "default").spec
    assert bgp == BGPConfigurationSpec(as_number=64600, node_to_node_mesh_enabled=False)
    assert calicoctl("1.3", "config get ReportingIntervalSecs --raw=felix") == (0, "20s\n")
    assert calicoctl("1.3", "config get IpInIpEnabled --raw=felix") == (0, "true\n")
    assert calicoctl("1.3", "config unset as_num --raw=bgp") == (0, "")
    assert calicoctl("1.3", "config get as_num --raw=bgp") == (0, "(unset)\n")


@pytest.mark.parametrize(("grammar", "line"), [("0.19", "status"), ("1.3", "node status")])
def test_a_node_that_does_not_run(calicoctl: Calicoctl, grammar: str, line: str) -> None:
    """1.5, 2.5: exit 1."""
    Path("node.sock").unlink()
    code, shown = calicoctl(grammar, line)
    assert (code, "not running" in shown) == (1, True)


@pytest.mark.parametrize(("grammar", "line"), [("0.19", "checksystem --fix --libnetwork"), ("1.3", "node checksystem")])
def test_what_this_host_lacks_is_told(calicoctl: Calicoctl, grammar: str, line: str) -> None:
    """Line by line; whether it is enough depends on the machine."""
    code, shown = calicoctl(grammar, line)
    assert shown.startswith("Checking this host...\n")
    assert ("System meets minimum system requirements" in shown) == (code == 0)
    assert ("/var/run/docker.sock" in shown) == ("--libnetwork" in line)


def test_no_engine_to_ask(calicoctl: Calicoctl, environ: dict[str, str]) -> None:
    environ["DOCKER_HOST"] = "unix:///nowhere"
    told = "Unable to run docker commands. Is the docker daemon running?\n"
    assert calicoctl("0.19", "container web endpoint show") == (1, told)
    environ["DOCKER_HOST"] = "tcp://192.0.2.9:2375"
    assert "must be on this host" in calicoctl("0.19", "container web endpoint show")[1]


def on_a_terminal(tmp_path: Path, *commands: list[str]) -> list[str]:
    """What each says on standard error, one after the other on one terminal that is opened for them."""
    (tmp_path / "old.cfg").write_text("apiVersion: v1\nkind: calicoApiConfig\n")
    environ = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "TORTIE_STORE": f"sqlite://{tmp_path}/store"}
    said, (ours, theirs) = list[str](), os.openpty()
    try:
        for words in commands:
            program = [sys.executable, "-m", "tortie.cli.calicoctl.main", *words]
            subprocess.run(program, env=environ, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=theirs, check=False)
            os.write(theirs, b"END\n")  # the terminal hands on in its own time
            text = b""
            while not text.endswith(b"END\r\n"):
                assert select.select([ours], [], [], PATIENCE)[0], text
                text += os.read(ours, 65536)
            said.append(text.decode().replace("\r\n", "\n").removesuffix("END\n"))
    finally:
        os.close(ours)
        os.close(theirs)
    return said


def test_a_person_is_told_the_grammar_once_a_terminal_and_when_a_command_fails(tmp_path: Path) -> None:
    open_store(f"sqlite://{tmp_path}/store").close()
    works, fails = ["get", "nodes", "-c", "old.cfg"], ["get", "nonsense", "-c", "old.cfg"]
    first, second, third = on_a_terminal(tmp_path, works, works, fails)
    assert (first, second) == (f"{TOLD}\n", "")
    assert TOLD in third
    obvious, wrong = on_a_terminal(tmp_path, ["profile", "show"], ["profile", "shw"])
    assert obvious == ""
    assert wrong.endswith("calicoctl: grammar 0.19, from the word profile\n")
    again, fresh_failure = (on_a_terminal(tmp_path, one)[0] for one in (works, fails))
    assert again == f"{TOLD}\n", "another terminal"
    assert fresh_failure.count(TOLD) == 1
