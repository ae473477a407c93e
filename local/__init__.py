"""The whole stack as processes on one machine: real brokers, registry, store, mail, database and Airflow, no Docker.

``python -m local up`` starts the stack, ``down`` stops it. All processes listen on loopback only and keep their state
under var/.
"""
