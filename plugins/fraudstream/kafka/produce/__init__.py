"""The producer: writes a source file to the topics in Kafka transactions."""
