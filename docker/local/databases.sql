-- Runs once, on an empty data folder: creates a user and a database for each service that must not read Airflow's data.
CREATE USER registry PASSWORD 'local-only';
CREATE DATABASE registry OWNER registry;
CREATE USER celery PASSWORD 'local-only';
CREATE DATABASE celery OWNER celery;
CREATE USER lake PASSWORD 'local-only';
CREATE DATABASE lake OWNER lake;
