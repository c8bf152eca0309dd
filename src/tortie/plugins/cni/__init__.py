"""Container networks by CNI: the plug-in of one host behind a tiny launcher."""
