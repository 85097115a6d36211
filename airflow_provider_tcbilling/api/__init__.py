"""The Tencent Cloud Billing API, 2018-07-09. Knows nothing of Airflow; usable from a notebook."""
