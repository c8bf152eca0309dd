"""net-modules as the agent speaks it: commands that bring tasks to networks, from the time before CNI."""
