"""Dead letters: invalid records with their topic, partition and offset, which can be shown and produced again."""

from fraudstream.kafka.dead_letters.producer import DeadLetters

__all__ = ["DeadLetters"]
