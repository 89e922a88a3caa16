"""Measured against the stock tools, interleaved: ``python -m benchmarks.NAME [--quick]``."""
