"""The calico package's framework: rolls the product out to the agents of a Mesos cluster, one at a time."""
