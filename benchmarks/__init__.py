"""Benchmarks: `uv run python -m benchmarks.NAME [--quick]`."""
