"""What the tasks of Airflow share."""
