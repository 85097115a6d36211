"""What waits while no worker is held. It only looks."""
