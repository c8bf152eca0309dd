"""Docker's remote network and IPAM driver."""
