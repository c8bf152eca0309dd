"""The words of the commands, shown when a command line does not follow them."""

from __future__ import annotations

MAIN = """\
Usage:
  calicoctl <command> [<args>...]

Commands:
  status       is this host's node running, and whom does it speak BGP with
  node         start, stop and describe this host's node
  container    a container of this host: its addresses and profiles
  profile      rules and tags of the endpoints of a network
  endpoint     endpoints and the profiles that they have
  pool         ranges that addresses are taken from
  bgp          peers and AS number of all nodes
  ipam         one address: who has it, take it back
  checksystem  does this host have what a node needs
  diags        diagnostics of this host in one archive
  version      version of this program
  config       settings of Felix and BGP

`calicoctl <command> --help` shows the words of one command.
"""

PROFILE = """\
Usage:
  calicoctl profile show [--detailed]
  calicoctl profile add <PROFILE>
  calicoctl profile remove <PROFILE> [--no-check]
  calicoctl profile <PROFILE> tag show
  calicoctl profile <PROFILE> tag (add|remove) <TAG>
  calicoctl profile <PROFILE> rule add (inbound|outbound) [--at=<POSITION>] <SPEC>
  calicoctl profile <PROFILE> rule remove (inbound|outbound) (--at=<POSITION>|<SPEC>)
  calicoctl profile <PROFILE> rule show
  calicoctl profile <PROFILE> rule json
  calicoctl profile <PROFILE> rule update

<SPEC>, its words in this order only:
  (allow|deny) [(
    (tcp|udp)     [from [ports <PORTS>] [tag <TAG>] [cidr <CIDR>]] [to [ports <PORTS>] [tag <TAG>] [cidr <CIDR>]] |
    (icmp|icmpv6) [type <TYPE> [code <CODE>]] [from [tag <TAG>] [cidr <CIDR>]] [to [tag <TAG>] [cidr <CIDR>]] |
                  [from [tag <TAG>] [cidr <CIDR>]] [to [tag <TAG>] [cidr <CIDR>]]
  )]

Options:
  --detailed         also the endpoints that have each profile
  --no-check         remove a profile although endpoints have it
  --at=<POSITION>    place of the rule in its list; the first is 1 [default: the end]

<PORTS> is a list such as 80,443,8000:8099.

Example:
  calicoctl profile web rule add inbound --at=1 allow tcp from cidr 192.0.2.0/24 to ports 80
"""

ENDPOINT = """\
Usage:
  calicoctl endpoint show [--host=<HOSTNAME>] [--orchestrator=<ORCHESTRATOR_ID>] [--workload=<WORKLOAD_ID>]
                          [--endpoint=<ENDPOINT_ID>] [--detailed]
  calicoctl endpoint <ENDPOINT_ID> profile (append|remove|set) [--host=<HOSTNAME>] [--orchestrator=<ORCHESTRATOR_ID>]
                          [--workload=<WORKLOAD_ID>] [<PROFILES>...]
  calicoctl endpoint <ENDPOINT_ID> profile show [--host=<HOSTNAME>] [--orchestrator=<ORCHESTRATOR_ID>]
                          [--workload=<WORKLOAD_ID>]

Options:
  --detailed    one line for each endpoint, with its addresses and profiles
"""

POOL = """\
Usage:
  calicoctl pool add <CIDRS>... [--ipip] [--nat-outgoing]
  calicoctl pool range add <START_IP> <END_IP> [--ipip] [--nat-outgoing]
  calicoctl pool remove <CIDRS>...
  calicoctl pool show [--ipv4 | --ipv6]

Options:
  --ipv4    only IPv4 pools
  --ipv6    only IPv6 pools
"""

IPAM = """\
Usage:
  calicoctl ipam release <IP>
  calicoctl ipam info <IP>
"""

BGP = """\
Usage:
  calicoctl bgp peer add <PEER_IP> as <AS_NUM>
  calicoctl bgp peer remove <PEER_IP>
  calicoctl bgp peer show [--ipv4 | --ipv6]
  calicoctl bgp node-mesh [on|off]
  calicoctl bgp default-node-as [<AS_NUM>]

Options:
  --ipv4    only peers with an IPv4 address
  --ipv6    only peers with an IPv6 address
"""

NODE = """\
Usage:
  calicoctl node [--ip=<IP>] [--ip6=<IP6>] [--node-image=<IMAGE>] [--runtime=<RUNTIME>] [--as=<AS_NUM>]
                 [--log-dir=<LOG_DIR>] [--detach=<DETACH>] [--no-pull]
                 [(--libnetwork [--libnetwork-image=<IMAGE>])]
  calicoctl node stop [--force]
  calicoctl node remove [--hostname=<HOSTNAME>] [--remove-endpoints]
  calicoctl node show
  calicoctl node bgp peer add <PEER_IP> as <AS_NUM>
  calicoctl node bgp peer remove <PEER_IP>
  calicoctl node bgp peer show [--ipv4 | --ipv6]

Options:
  --ip=<IP>             this host's address towards the other nodes [default: found]
  --ip6=<IP6>           its IPv6 address
  --as=<AS_NUM>         the AS number of this node alone
  --runtime=<RUNTIME>   docker (start the node) or none (only write its configuration) [default: docker]
  --detach=<DETACH>     true, or false to stay in the foreground [default: true]
  --log-dir=<LOG_DIR>   where the node's log goes [default: /var/log/calico]
  --libnetwork          with the Docker network driver
  --node-image, --libnetwork-image, --no-pull   accepted: the node is this program, there is no image
  --force               stop the node although this host has endpoints
  --hostname=<HOSTNAME> the node to remove [default: this host]
  --remove-endpoints    remove the node although it has endpoints, and them with it
"""

CONTAINER = """\
Usage:
  calicoctl container <CONTAINER> ip (add|remove) <IP> [--interface=<INTERFACE>]
  calicoctl container <CONTAINER> endpoint show
  calicoctl container <CONTAINER> profile (append|remove|set) [<PROFILES>...]
  calicoctl container add <CONTAINER> <IP> [--interface=<INTERFACE>]
  calicoctl container remove <CONTAINER>

<IP>: an address; or ipv4, ipv6 or the range of a pool, to be given a free one. On the container's host only.

Options:
  --interface=<INTERFACE>   the name of the interface in the container [default: eth1]
"""

CONFIG = """\
Usage:
  calicoctl config felix <NAME> [<VALUE>|--remove] [--force]
  calicoctl config bgp <NAME> [<VALUE>|--remove] [--force]
  calicoctl config node bgp <NAME> [<VALUE>|--remove] [--force]

<NAME> is loglevel: none, debug, info, and for felix warning, error, critical.

Options:
  --remove   take the setting away
  --force    any other field of FelixConfiguration or BGPConfiguration, and any value that it may have
"""

STATUS = """\
Usage:
  calicoctl status [--runtime=<RUNTIME>]
"""

CHECKSYSTEM = """\
Usage:
  calicoctl checksystem [--fix] [--libnetwork] [--runtime=<RUNTIME>]

Options:
  --fix   load what can be loaded: kernel modules, forwarding
"""

DIAGS = """\
Usage:
  calicoctl diags [--log-dir=<LOG_DIR>]
"""
