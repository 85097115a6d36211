"""Random schedules: purchases, renewals and refunds that fail, die, stand still and overtake each other, from a seed."""
