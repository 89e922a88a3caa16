"""Image files: found, named by their paths and tables, prepared for storage."""
