"""Keeping a workspace healthy: backup and restore, the checks of ``doctor``, removal of what killed processes left."""
