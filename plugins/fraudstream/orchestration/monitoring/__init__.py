"""What the API server takes of the pipeline and of Airflow, and metrics through Airflow's own."""
