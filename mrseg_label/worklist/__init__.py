"""Which case for whom: strategies and leases."""
