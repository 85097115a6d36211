"""Buttons on the task's page."""
