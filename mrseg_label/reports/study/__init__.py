"""The report of a study: the tables and figures of a paper, as one page, Markdown, CSV and LaTeX."""
