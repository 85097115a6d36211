"""The tasks that wait for what others bought."""
