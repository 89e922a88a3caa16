"""What the routes answer, as types; the command line's ``--json`` prints the same documents."""
