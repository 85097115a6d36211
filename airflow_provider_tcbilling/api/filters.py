"""Deprecated: the names of this module are in ``waiting.filters`` now."""

from airflow_provider_tcbilling._moved import forward

__getattr__ = forward(__name__, "waiting.filters")
