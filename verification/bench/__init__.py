"""What this package costs and how far it goes, each figure beside a baseline from the same run. It asserts nothing."""
