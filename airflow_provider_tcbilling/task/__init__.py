"""The parts that our Airflow tasks share: arguments, the DAG run, errors and their messages."""
