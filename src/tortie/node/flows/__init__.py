"""Flow records of one host: who talked to whom, allowed or denied, by which policy and rule."""
