"""Benchmarks against the stock tools, measured alternately: ``python -m benchmarks.NAME [--quick]``."""
