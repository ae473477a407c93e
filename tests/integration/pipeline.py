"""Parts of the pipeline, combined for tests that don't need Airflow."""

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import Message
from fraudstream.cases.links.signed import Links
from fraudstream.dataset import open_source
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.consume.subscription import Subscription
from fraudstream.kafka.dead_letters import DeadLetters
from fraudstream.kafka.produce.publisher import Publisher
from fraudstream.kafka.records import Sink
from fraudstream.lake.query.view import read_rows
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.stream.appending import AppendingChain
from fraudstream.lake.stream.lines import LINES_OF
from fraudstream.lake.stream.names import FOLDER_OF, MAILS
from fraudstream.lake.stream.sink import JsonSink
from fraudstream.lake.table.catalog import Tables
from fraudstream.lake.table.lake import Lake
from fraudstream.mail.sink import mail_sink
from fraudstream.mail.smtp.server import SmtpServer
from fraudstream.settings import Settings

from local import topics

HEADER = (
    "step,type,amount,nameOrig,oldbalanceOrg,newbalanceOrig,nameDest,oldbalanceDest,newbalanceDest,"
    "isFraud,isFlaggedFraud"
)


def paysim(rows: list[str], folder: Path) -> Path:
    """A file with these rows and unique content, so that its rows get new ids."""
    unique = uuid.uuid4()
    path = folder / f"{unique.hex}.csv"
    spaces = f"{unique.int:b}".translate({ord("0"): " ", ord("1"): "\t"})
    path.write_text("\n".join([HEADER + spaces, *rows]) + "\n")
    return path


def good_row(number: int, fraud: int = 0) -> str:
    """A valid row."""
    return f"1,TRANSFER,{number}.25,C{number},{number}.25,0.00,C9{number},0.00,{number}.25,{fraud},0"


def publisher(settings: Settings, path: Path, **options: object) -> Publisher:
    """A publisher of a local file."""
    return Publisher(settings, open_source(str(path), None), **options)  # type: ignore[arg-type]


def consumer(settings: Settings, topic: str, role: str, sink: Sink) -> Subscription:
    """A member of the group that the DAGs use, which runs until it is caught up."""
    letters = DeadLetters(settings) if role == "write_lake" else None
    codec = Codec.for_topic(topic, settings)
    columns = role == "write_lake"
    return Subscription(
        settings, topic, f"{role}-{topic}", sink, codec, until="caught_up", dead_letters=letters, columns=columns
    )


def lake_consumer(settings: Settings, store: Store, topic: str) -> Subscription:
    """The task write_lake for a topic."""
    chain = AppendingChain(store, FOLDER_OF[topic])
    return consumer(
        settings, topic, "write_lake", JsonSink(chain, LINES_OF[topic], flush_rows=50_000, flush_seconds=1.0)
    )


def mail_consumer(settings: Settings, store: Store, topic: str, port: int, stop: threading.Event) -> Subscription:
    """The task send_mail for a topic, with an SMTP server of this machine."""
    server = SmtpServer("127.0.0.1", port, security="plain")
    sink = mail_sink(settings, server, topic, AppendingChain(store, MAILS), Links(settings), stop=stop.is_set)
    return consumer(settings, topic, "send_mail", sink)


def records(settings: Settings, topic: str) -> Iterator[Message]:
    """All records of a topic for a read_committed reader."""
    with topics.reader(settings) as reader:
        yield from topics.records(reader, settings, topic)


def decoded(settings: Settings, topic: str, prefix: str) -> list[dict[str, object]]:
    """The records of a topic whose idTransaction starts with `prefix`."""
    with topics.reader(settings) as reader:
        batches = (rows for rows, _ in topics.decoded(reader, settings, topic))
        return [row for rows in batches for row in rows.filter(_begins(rows, prefix)).to_pylist()]


def ids(settings: Settings, topic: str, prefix: str) -> Iterator[str]:
    """Yields each idTransaction of a topic that starts with `prefix`, with duplicates; has one batch in memory."""
    with topics.reader(settings) as reader:
        for rows, _ in topics.decoded(reader, settings, topic):
            yield from rows.filter(_begins(rows, prefix)).column("idTransaction").to_pylist()


def _begins(rows: pa.RecordBatch, prefix: str) -> pa.Array:
    return pc.starts_with(rows.column("idTransaction"), prefix)


def with_tables(store: Store) -> Lake:
    """The lake in a bucket, with the stack's catalog."""
    return Lake(store, Tables.connect(Settings(), store.bucket))


def in_lake(lake: Store, folder: str, prefix: str, *columns: str) -> list[tuple[object, ...]]:
    """The rows of a folder whose idTransaction starts with `prefix`."""
    tables = read_rows(with_tables(lake), folder, ["idTransaction", *columns])
    rows = (row for table in tables for row in zip(*(table[n].to_pylist() for n in table.column_names), strict=True))
    return [row for row in rows if row[0].startswith(prefix)]
