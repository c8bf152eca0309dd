"""CNI as Mesos's isolator `network/cni` does it: plug-ins of any maker, found by a network's name."""
