"""fraudstream: streams PaySim transactions through Kafka to mails, waiting Airflow sensors and a lake.

Each transaction is written to its topic and to the lake exactly once, and each fraud's case is opened in exactly one
DAG run. Only a mail can be sent twice, with the same Message-ID.

Only :mod:`fraudstream.orchestration` imports Airflow.
"""
