"""The kill matrix: every crash point against every kind of server, with real processes on a real Airflow."""
