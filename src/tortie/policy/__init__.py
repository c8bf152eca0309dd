"""What the rules mean: label index, resolved policy, changes. Pure."""
