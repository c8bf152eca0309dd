"""The Mesos containerizer: containers without Docker, on an OCI runtime."""
