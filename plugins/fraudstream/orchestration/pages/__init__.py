"""Pages in Airflow's UI: two in its navigation, and two as tabs of a DAG run and of a sensor's task instance."""
