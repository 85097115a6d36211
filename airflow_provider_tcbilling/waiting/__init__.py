"""Waiting: deliveries, the end of orders, and instances that expire. It only reads."""
