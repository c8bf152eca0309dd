"""Message shapes and clients of public protocols that several rooms speak."""
