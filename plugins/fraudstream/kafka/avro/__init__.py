"""Avro in the Confluent wire format: registry, codec, and the rules for valid records."""
