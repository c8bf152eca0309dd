"""Marathon: apps, groups, deployments; a framework on the Mesos v1 scheduler API."""
