"""The typed documents of REST; the command line's ``--json`` prints the same."""
