"""Runs send_mail for a topic, until the end of the topic. Arguments: topic, folder of the log, SMTP port.

The time starts when the first partition is assigned.
"""

import sys

from fraudstream.cases.links.signed import Links
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.consume.subscription import Subscription
from fraudstream.kafka.records import Partition
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.stream.appending import AppendingChain
from fraudstream.mail.sink import mail_sink
from fraudstream.mail.smtp.server import SmtpServer
from fraudstream.settings import Settings
from google.cloud import storage

from benchmarks.harness.outcome import Timed, timed


class TimedChain(AppendingChain):
    """The chain of the mail log. It starts the clock when its first partition is opened."""

    work: Timed | None = None
    _begun = False

    def open(self, partition: Partition, read_to: int = 0) -> int:
        """Opens a partition. Without a log it starts at offset 0, so that all records are mailed."""
        if self.work is not None and not self._begun:
            self._begun = True
            self.work.start()
        return super().open(partition, read_to) or 0


def main(topic: str, folder: str, port: int) -> None:
    """Mails the whole topic."""
    settings = Settings()
    chain = TimedChain(Store(storage.Client(), settings.lake_bucket), folder)
    server = SmtpServer("127.0.0.1", port, security="plain")
    sink = mail_sink(settings, server, topic, chain, Links(settings), stop=lambda: False)
    subscription = Subscription(
        settings, topic, f"benchmark-{folder}", sink, Codec.for_topic(topic, settings), until="caught_up"
    )
    with timed() as work:
        chain.work = work
        work.items = subscription.run().records


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
