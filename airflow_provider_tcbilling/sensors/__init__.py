"""Sensors: tasks that wait for an order or an expiry, and only read."""
