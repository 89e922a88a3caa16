"""Charts of the dashboard, laid out as numbers; a chart in a file is one of :mod:`mrseg_label.reports.figures`."""
