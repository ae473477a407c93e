"""Everything that imports Airflow: operators, sensor, trigger, connections and pages. No other package does."""
