"""Drafts: sources, choice among them, and their store."""
