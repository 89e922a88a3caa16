"""Queries, one module a part of the catalogue. Each takes the session of a unit of work."""
