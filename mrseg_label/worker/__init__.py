"""Worker processes: they claim jobs and run them."""
