"""What a reader submits: decoded by name, checked against the image, kept for ever as a revision."""
