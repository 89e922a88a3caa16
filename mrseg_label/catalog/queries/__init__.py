"""Queries, a module for each table. Each takes the session of a unit of work."""
