"""The whole stack as processes on one machine: real brokers, registry, store, mail, database and Airflow, no Docker.

``python -m local up`` starts it, ``down`` stops it; everything listens on loopback and keeps its state under var/.
"""
