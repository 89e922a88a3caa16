"""Which case for whom: strategies, assignments, and the names by which readers open cases."""
