"""The load balancer: HAProxy from Marathon's apps and their labels."""
