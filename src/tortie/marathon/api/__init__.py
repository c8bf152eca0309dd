"""Marathon's REST interface and its stream of events."""
