"""The words of the commands, shown when a command line does not follow them."""

from __future__ import annotations

MAIN = """\
Usage:
  calicoctl <command> [<args>...]

Commands:
  profile   rules and tags of the endpoints of a network
  endpoint  endpoints and the profiles that they have
  pool      ranges that addresses are taken from
  ipam      one address: who has it, take it back
  status    is this host's node running
  diags     diagnostics of this host in one archive
  checksystem  does this host have what a node needs
  version   version of this program

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
