"""Deprecated: the names of this module are in ``triggers.shared_watch`` now."""

from airflow_provider_tcbilling._moved import forward

__getattr__ = forward(__name__, "triggers.shared_watch")
