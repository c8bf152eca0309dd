"""The etcd package's framework: real etcd members as Mesos tasks, one on an agent, mended one at a time."""
