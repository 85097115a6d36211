"""Hooks: from an Airflow connection to the clients of the billing API."""
