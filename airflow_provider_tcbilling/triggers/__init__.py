"""Triggers: waits that hold no worker, and only read."""
