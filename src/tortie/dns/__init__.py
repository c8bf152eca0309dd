"""Mesos-DNS: records from the master's state, server, HTTP API."""
