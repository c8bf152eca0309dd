"""From wanted state to nftables text, elements and routes. Pure."""
