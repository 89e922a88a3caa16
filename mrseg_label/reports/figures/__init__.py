"""Figures: a case as Slicer shows it, one slice of it, and the learning curve. Modules that draw charts load Matplotlib."""
