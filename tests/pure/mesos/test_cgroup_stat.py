"""Cgroup files of either version as resource statistics."""

from __future__ import annotations

from collections.abc import Callable

from tortie.mesos.agent.cgroup_stat import hierarchies, interfaces, places, statistics

OLD = """\
25 30 0:22 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
31 25 0:27 /lab/host /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
32 25 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 25 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
34 25 0:30 / /data rw - ext4 /dev/vda1 rw
"""
NEW = "25 30 0:22 / /sys/fs/cgroup ro,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"


def reader(files: dict[str, str]) -> Callable[[str, str], str | None]:
    return lambda controller, file: files.get(f"{controller}/{file}", files.get(file))


def test_where_a_process_is_in_both_versions() -> None:
    old = "5:memory:/task\n4:cpu,cpuacct:/lab/host/task\n3:pids:/elsewhere\n0::/unified\n"
    assert places(old, list(hierarchies(OLD))) == {
        "memory": "/sys/fs/cgroup/memory/task",
        "cpu": "/sys/fs/cgroup/cpu,cpuacct/task",
        "cpuacct": "/sys/fs/cgroup/cpu,cpuacct/task",
        "": "/sys/fs/cgroup/unified/unified",
    }
    assert places("0::/tortie/x\n", list(hierarchies(NEW))) == {"": "/sys/fs/cgroup/tortie/x"}
    assert places("nonsense\n", list(hierarchies(NEW))) == {}


def test_version_one() -> None:
    files = {
        "cpuacct/cpuacct.stat": "user 250\nsystem 50\n",
        "cpu/cpu.stat": "nr_periods 10\nnr_throttled 4\nthrottled_time 1500000000\n",
        "memory/memory.stat": "cache 1\ntotal_cache 4096\ntotal_rss 8192\ntotal_mapped_file 0\n",
        "memory/memory.usage_in_bytes": "20480\n",
        "memory/memory.limit_in_bytes": "67108864\n",
        "pids/pids.current": "3\n",
        "pids/cgroup.procs": "10\n11\n",
    }
    assert statistics(reader(files), 100) == {
        "cpus_user_time_secs": 2.5,
        "cpus_system_time_secs": 0.5,
        "cpus_nr_periods": 10,
        "cpus_nr_throttled": 4,
        "cpus_throttled_time_secs": 1.5,
        "mem_rss_bytes": 8192,
        "mem_cache_bytes": 4096,
        "mem_mapped_file_bytes": 0,
        "mem_total_bytes": 20480,
        "mem_limit_bytes": 67108864,
        "threads": 3,
        "processes": 2,
    }


def test_version_two_without_a_limit() -> None:
    files = {
        "cpu.stat": "usage_usec 3000000\nuser_usec 2500000\nsystem_usec 500000\nnr_periods 1\nnr_throttled 0\n",
        "memory.stat": "anon 8192\nfile 4096\n",
        "memory.current": "20480\n",
        "memory.max": "max\n",
    }
    found = statistics(reader(files), 100)
    assert (found["cpus_user_time_secs"], found["cpus_system_time_secs"]) == (2.5, 0.5)
    assert (found["mem_rss_bytes"], found["mem_cache_bytes"], found["mem_total_bytes"]) == (8192, 4096, 20480)
    assert "mem_limit_bytes" not in found
    assert found["cpus_throttled_time_secs"] == 0


def test_no_limit_of_version_one_and_files_that_are_not_there() -> None:
    assert statistics(reader({"memory/memory.limit_in_bytes": "9223372036854771712\n"}), 100) == {}
    assert statistics(reader({"cpu.stat": "nonsense\nuser_usec x\n"}), 100) == {}


def test_the_network_without_the_loop() -> None:
    text = (
        "Inter-|   Receive  |  Transmit\n face |bytes packets\n"
        "    lo:  99 9 0 0 0 0 0 0 99 9 0 0 0 0 0 0\n"
        "  eth0: 1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0\n"
        "  eth1:1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"
        "  bad: 1 2\n"
    )
    assert interfaces(text) == {
        "net_rx_bytes": 1001,
        "net_rx_packets": 11,
        "net_rx_errors": 1,
        "net_rx_dropped": 2,
        "net_tx_bytes": 2001,
        "net_tx_packets": 21,
        "net_tx_errors": 3,
        "net_tx_dropped": 4,
    }
