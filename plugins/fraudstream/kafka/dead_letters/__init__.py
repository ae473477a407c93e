"""Dead letters: invalid records, kept with the place that they came from, looked at and produced again."""

from fraudstream.kafka.dead_letters.producer import DeadLetters

__all__ = ["DeadLetters"]
