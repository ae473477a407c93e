"""Modules of the benchmark `confirmation`: cases that wait in a running Airflow."""
