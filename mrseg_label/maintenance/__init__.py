"""Keep a workspace in order: backup and restore, the checks of ``doctor``, and what killed processes left behind."""
