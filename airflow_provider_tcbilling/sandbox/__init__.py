"""
A local, stateful billing API: the server side of the tables in :mod:`airflow_provider_tcbilling.api`.

It is ours, not Tencent's: where the real service's behaviour is not documented it can play each possibility, and
``docs/reference/sandbox.md`` lists what it does not do.
"""
