"""A host as it is, and what is different later: for who claims to leave one as it was.

`look` asks a host by commands of its own, so that it does for a namespace, a host of a lab, a machine reached by ssh.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

State = Mapping[str, str]
"""Texts of lines, by what they are about."""

PLACES = ("/etc", "/opt", "/usr/local", "/var/lib", "/root")
PASSED_OVER = ("/var/log", "/root/.cache", "/root/.config")
"""Logs, and what a desk's programs keep: a host of a lab sees this machine's, where a browser may run meanwhile."""
# The kernel makes one of each for every namespace when their modules come.
OF_MODULES = "tunl0|ip6tnl0|sit0|gre0|gretap0|erspan0|ip6gre0|ip_vti0|ip6_vti0|dummy0"
# What the kernel itself counts, draws or refuses to tell.
RESTLESS = (
    "nf_conntrack_count|stable_secret|tcp_fastopen_key|flush$|nf_conntrack_buckets|nf_conntrack_expect_max|"
    f"tcp_mem|udp_mem|bpf_jit_limit|_available_|nf_log/|/({OF_MODULES})/|neigh/.*/(base_reachable_time|retrans_time)$"
)


def look(ask: Callable[[str], str], above: Mapping[str, str] | None = None) -> State:
    """`ask` runs a line of shell on the host and gives what it says. `above`: where the host's changes to folders of
    this machine lie, by where they lie; without it, the host's own files are looked at."""
    where = " ".join([*(above or PLACES), "/run"])
    pruned = " -o ".join(f"-path {folder}" for folder in PASSED_OVER)
    found = f"find {where} -xdev \\( {pruned} \\) -prune -o"
    asked = {
        "files": f"{found} -type f -print0 2>/dev/null | xargs -0r sha256sum -- | sort -k2",
        "others": f"{found} ! -type d -printf '%p %y %m %l\\n' 2>/dev/null | sort",
        "folders": f"{found} -type d -printf '%p %m\\n' 2>/dev/null | sort",
        "units": "systemctl list-unit-files --no-legend --no-pager 2>/dev/null | sort",
        "nft": "nft list ruleset",
        "links": f"ip -o link show | grep -Ev ' ({OF_MODULES})@' | sed -E 's/ state [A-Z]+//; s/ qlen [0-9]+//'",
        "addresses": "ip -o address show | sed -E 's/ (valid|preferred)_lft [^ ]*//g' | grep -v ' fe80'",
        "routes": "{ ip route show table all; ip -6 route show table all; } | grep -v 'fe80\\|ff00' | sort",
        "rules": "ip rule; ip -6 rule",
        "sysctls": f"cd /proc/sys/net && find . -type f -perm /400 | grep -Ev '{RESTLESS}' | "
        "xargs grep -H '' 2>/dev/null | sort",
        "processes": "ps -e -o stat=,comm= | grep -v '^Z' | awk '{print $2}' | grep -vx "
        "'ps\\|bash\\|sh\\|grep\\|sleep\\|sort\\|awk' | sort",
    }
    state = {name: ask(line) for name, line in asked.items()}
    lines = [line for line in state["folders"].splitlines() if not _copied_up(line.rpartition(" ")[0], above or {})]
    return {**state, "folders": "\n".join(lines)}


def _copied_up(folder: str, above: Mapping[str, str]) -> bool:
    """Whether it lies above one of this machine only because something in it was touched."""
    for upper, place in above.items():
        if folder == upper or folder.startswith(f"{upper}/"):
            return Path(place + folder.removeprefix(upper)).is_dir()
    return False


def difference(before: State, after: State) -> dict[str, list[str]]:
    """Lines that are gone (`-`) and lines that are new (`+`), by what they are about; empty when there are none.

    A setting that was not there before is no difference: it came with an interface, which is one, or with a module,
    which stays where it was loaded.
    """
    found = {}
    for name in before:
        old, new = set(before[name].splitlines()), set(after[name].splitlines())
        come = new - old
        if name == "sysctls":
            known = {line.partition(":")[0] for line in old}
            come = {line for line in come if line.partition(":")[0] in known}
        lines = [*(f"- {line}" for line in sorted(old - new)), *(f"+ {line}" for line in sorted(come))]
        if lines:
            found[name] = lines
    return found
