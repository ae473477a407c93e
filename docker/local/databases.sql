-- Runs once, when the server is made: a database and a user each for what must not read Airflow's own.
CREATE USER registry PASSWORD 'local-only';
CREATE DATABASE registry OWNER registry;
CREATE USER celery PASSWORD 'local-only';
CREATE DATABASE celery OWNER celery;
CREATE USER lake PASSWORD 'local-only';
CREATE DATABASE lake OWNER lake;
