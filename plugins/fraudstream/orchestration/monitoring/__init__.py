"""Samples of the pipeline and of Airflow's health, taken by the API server, and metrics reported through Airflow."""
