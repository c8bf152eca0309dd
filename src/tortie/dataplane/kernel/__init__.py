"""Plain hands on the kernel: netlink, libnftables, sysctl."""
