"""A dead-letter topic in memory: the producer's side and the readers'."""

from dataclasses import dataclass, field

from fraudstream.kafka.dead_letters.invalid_records import Places
from fraudstream.kafka.dead_letters.letters import DeadLetter
from fraudstream.kafka.records import Partition


@dataclass
class LetterTopic:
    """Stands for :class:`DeadLetters` and :class:`KnownDeadLetters`."""

    letters: list[DeadLetter] = field(default_factory=list)
    waiting: list[DeadLetter] = field(default_factory=list)
    reads: int = 0

    def put(self, letter: DeadLetter) -> None:
        """Takes a letter, which isn't there yet."""
        self.waiting.append(letter)

    def flush(self) -> None:
        """Now it is."""
        self.letters += self.waiting
        self.waiting = []

    def of(self, partition: Partition) -> Places:
        """The letters that are there."""
        self.reads += 1
        return {letter.offset: {letter.timestamp} for letter in self.letters if letter.partition == partition}

    def lately(self, partition: Partition) -> Places:
        """They are known at once."""
        return self.of(partition)

    def close(self) -> None:
        """Holds nothing."""
