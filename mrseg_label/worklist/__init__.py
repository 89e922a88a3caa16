"""Which case is assigned to which reader: strategies, assignments, and the names by which readers open cases."""
