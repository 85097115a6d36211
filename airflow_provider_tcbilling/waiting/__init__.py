"""What only queries: deliveries, orders that end, and instances that expire. Knows nothing of Airflow."""
