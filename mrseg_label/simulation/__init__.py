"""The demo: a synthetic cohort, simulated radiologists who work over HTTP, and a report of what the rounds improve."""
