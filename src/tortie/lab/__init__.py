"""Many hosts on one machine, and the walk-throughs."""
