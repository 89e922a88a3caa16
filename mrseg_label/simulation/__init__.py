"""The sample cohort and the simulated radiologists of the demo."""
