"""The tasks that spend."""
