"""The read side: typed documents that REST, dashboard and command line show, the functions that fill them, figures."""
