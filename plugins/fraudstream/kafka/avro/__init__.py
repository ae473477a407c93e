"""Avro in the Confluent wire format: registry, codec, and what a valid record is."""
