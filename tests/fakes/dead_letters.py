"""A dead-letter topic in memory, for its producer and its readers."""

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
        """Accepts a letter, which isn't visible before :meth:`flush`."""
        self.waiting.append(letter)

    def flush(self) -> None:
        """Makes the letters visible."""
        self.letters += self.waiting
        self.waiting = []

    def of(self, partition: Partition) -> Places:
        """The visible letters."""
        self.reads += 1
        return {letter.offset: {letter.timestamp} for letter in self.letters if letter.partition == partition}

    def lately(self, partition: Partition) -> Places:
        """As :meth:`of`: letters are known at once."""
        return self.of(partition)

    def close(self) -> None:
        """Does nothing."""
