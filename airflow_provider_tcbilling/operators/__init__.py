"""Operators: tasks that buy, renew and refund, and tasks that read or set renewals."""
