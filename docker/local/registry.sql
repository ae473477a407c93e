-- Runs once, when the database is made: the schema registry's own database and user.
CREATE USER registry PASSWORD 'local-only';
CREATE DATABASE registry OWNER registry;
