"""A Mesos-compatible cluster manager."""
