"""Plain hands on the kernel: netlink and sysctl."""
