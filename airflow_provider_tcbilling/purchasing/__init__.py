"""Exactly once: the things to buy, their records, and the decision whether to send again."""
