"""The Stars visualiser: probe, collector, page."""
