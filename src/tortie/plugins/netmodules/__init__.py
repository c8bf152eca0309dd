"""The plug-in that answers net-modules: addresses and networks for Mesos tasks of its time before CNI."""
