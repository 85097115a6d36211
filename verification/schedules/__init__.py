"""Random schedules: purchases, renewals and refunds that fail, die and overtake each other, all from a seed."""
