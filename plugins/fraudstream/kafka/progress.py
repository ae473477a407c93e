"""How far a source file is produced: the last record of its key on the compacted topic ingest_progress."""

from dataclasses import asdict, dataclass

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition
from confluent_kafka import KafkaError as Code

from fraudstream.errors import KafkaUnavailable
from fraudstream.kafka.codec import Codec
from fraudstream.kafka.connection import Connection
from fraudstream.kafka.records import INGEST_PROGRESS
from fraudstream.settings import Settings


@dataclass(frozen=True)
class IngestProgress:
    """A position in one generation of a source file, and the rows it stands for; fields as in the Avro schema."""

    source: str
    generation: str
    byte: int = 0
    row: int = 0
    fraud: int = 0
    nonFraud: int = 0
    rejected: int = 0
    done: bool = False

    def to_record(self) -> dict[str, object]:
        """The record of :data:`INGEST_PROGRESS`."""
        return asdict(self)


def last_progress(settings: Settings, codec: Codec, source: str, generation: str) -> IngestProgress:
    """The last committed position in exactly this generation of a source; the start where there is none.

    Transactions that are still open are not waited for: call this after init_transactions fenced their producer.

    :raises KafkaUnavailable: the topic can't be read to its end
    :raises KafkaRefused: the user may not read it
    """
    found = IngestProgress(source, generation)
    connection = Connection(settings)
    consumer = Consumer(
        settings.kafka_config(
            **{
                "error_cb": connection.hear,
                "group.id": "fraudstream-ingest-progress",  # needed by the client, never joined or committed
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 10,  # what a broker waits for more records before it says that this is the end
            }
        )
    )
    try:
        # Without knowing the leader yet, the client would wait half a second before it asks for an offset.
        connection.open(consumer, INGEST_PROGRESS)
        consumer.assign([TopicPartition(INGEST_PROGRESS, 0, OFFSET_BEGINNING)])
        while True:
            message = consumer.poll(30)
            if message is None:
                raise KafkaUnavailable(f"topic {INGEST_PROGRESS} can't be read: no answer from Kafka for 30 s")
            error = message.error()
            if error is not None:
                if error.code() == Code._PARTITION_EOF:
                    return found
                raise connection.error(error, doing=f"reading topic {INGEST_PROGRESS}")
            record = codec.decode(message.value())
            if record["source"] == source and record["generation"] == generation:
                found = IngestProgress(**record)
    except KafkaException as error:
        raise connection.error(error, doing=f"reading topic {INGEST_PROGRESS}") from error
    finally:
        consumer.close()
