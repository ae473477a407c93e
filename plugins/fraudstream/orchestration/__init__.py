"""The edge to Airflow: operators, sensor, trigger and connections. The only package that imports airflow."""
