"""The master: frameworks, agents, offers, tasks."""
