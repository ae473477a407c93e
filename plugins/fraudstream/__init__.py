"""fraudstream: PaySim transactions through Kafka to mail, waiting Airflow sensors and a lake, each exactly once.

Nothing here imports Airflow but :mod:`fraudstream.orchestration`.
"""
