"""The read side: the typed documents that the REST interface, the pages and the command line show, and pictures."""
