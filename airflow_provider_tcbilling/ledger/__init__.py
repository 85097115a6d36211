"""Where purchases are remembered."""
