"""What all HTTP fronts share: serving, streams, errors, and the look of the pages."""
