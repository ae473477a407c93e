"""The producer: a source file to the topics in Kafka transactions."""
