"""Pages in Airflow's UI: two in its navigation, two as tabs of a run and of a sensor."""
