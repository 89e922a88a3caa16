"""What a reader submits: checked against the image, kept for ever as an annotation, reviewed."""
