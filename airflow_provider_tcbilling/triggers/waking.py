"""Deprecated: the names of this module are in ``triggers.base`` now."""

from airflow_provider_tcbilling._moved import forward

__getattr__ = forward(__name__, "triggers.base")
