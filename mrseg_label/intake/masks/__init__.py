"""Masks that come with an import: found, checked against their image, enqueued to become annotations."""
