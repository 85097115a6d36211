"""Deprecated: the names of this module are in ``api.instance_list`` and ``waiting.expiry`` now."""

from airflow_provider_tcbilling._moved import forward

__getattr__ = forward(__name__, "api.instance_list", "waiting.expiry")
