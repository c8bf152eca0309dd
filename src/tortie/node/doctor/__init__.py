"""What is wrong with a host and how to mend it: `look` gathers, `judge` decides."""
