"""What the pictures of the page Cases show: a queue and one case, over topics and a lake in memory."""

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from fraudstream.cases.answer_publisher import DecidedBy
from fraudstream.cases.events import ASSIGNED, ESCALATED, MAIL_BOUNCED, NOTE, NOTICE_ACCEPTED, REMINDED
from fraudstream.desk.topic_search import partition_of
from fraudstream.kafka.avro.codec import arrow_schema
from fraudstream.kafka.records import FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION, Batch, Partition
from fraudstream.lake.store.objects import GZIP
from fraudstream.lake.stream.chain import Link
from fraudstream.lake.stream.lines import LINES_OF
from fraudstream.lake.stream.names import FOLDER_OF, MAILS, object_name
from fraudstream.lake.stream.totals import totals_of
from fraudstream.lake.table.lake import Lake
from fraudstream.settings import Settings
from fraudstream.site.serving import server
from isal import igzip

from tests.fakes.cases import transaction
from tests.fakes.desk import FakeDeskViews
from tests.fakes.desk_pages import Users, desk_pages
from tests.fakes.lakes import new_lake

#: Path of each picture.
PAGES = {"airflow-desk": "/desk?sort=deadline", "airflow-desk-case": "/desk-case?id=e8242706ca-000001403"}
_CASES = 43
_CUSTOMER = "C1231006815"


@contextmanager
def desk_site() -> Iterator[str]:
    """Address of the pages."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        desk_pages(_views(), _lake(), Settings(desk_users=["clerk"]), Users("clerk")) as app,
    ):
        serving = server(app)
        thread = threading.Thread(target=serving.run, kwargs={"sockets": [listener]})
        thread.start()
        while not serving.started:
            time.sleep(0.1)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            serving.should_exit = True
            thread.join()


def _id(number: int) -> str:
    return f"e8242706ca-{1400 + number:09}"


def _came(number: int) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) - timedelta(hours=70 - number, minutes=7 * number % 60)


def _record(number: int) -> dict[str, Any]:
    amount = (number * 7_919_333 % 240_000_000) + 1_234_56
    customer = _CUSTOMER if number == 3 else f"C{number * 7919 % 10**9 + 10**8}"
    kind = ("TRANSFER", "CASH_OUT")[number % 2]
    return transaction(_id(number), amount=amount, nameOrig=customer, type=kind, oldbalanceOrg=amount)


def _views() -> FakeDeskViews:
    views = FakeDeskViews()
    for number in range(_CASES):
        record = _record(number)
        views.add(record["idTransaction"], _came(number), **{k: v for k, v in record.items() if k != "idTransaction"})
    notice = {"kind": "fraud_notice"}
    for number in (1, 9, 17):
        views.event(_id(number), MAIL_BOUNCED, "bounces", "550 5.1.1 no such mailbox", **notice)
    for number in (2, 4, 5, 6, 8):
        views.event(_id(number), REMINDED, "remind_customers", share=0.5)
    views.event(_id(3), NOTICE_ACCEPTED)
    views.event(_id(3), REMINDED, "remind_customers", share=0.5)
    views.event(_id(3), ESCALATED, "escalate_cases", "nobody answered", cause="no_answer")
    views.event(_id(3), ASSIGNED, "ana", "knows the customer", assignee="clerk")
    views.event(_id(3), NOTE, "clerk", "The branch calls the customer today.")
    views.event(_id(0), ESCALATED, "escalate_cases", "the notice did not reach the customer", cause="not_reached")
    for number in range(30, 36):
        views.answer(_id(number), "REPORTED_FRAUD")
    views.answer(_id(36), "REPORTED_NOT_FRAUD", DecidedBy("ana", "The customer called."))
    return views


def _lake() -> Lake:
    lake = new_lake()
    _put(lake, FRAUD_TRANSACTION, 0, [_record(3)], _came(3))
    payments = [
        transaction(
            f"e8242706ca-{900 + number:09}",
            type="PAYMENT",
            amount=12_34 * (number + 1),
            nameDest=f"M{number * 7919}",
            timestamp=datetime(2023, 10, 4, 8 + number, tzinfo=UTC),
            isFraud=0,
        )
        for number in range(4)
    ]
    _put(lake, NON_FRAUD_TRANSACTION, partition_of(_CUSTOMER.encode(), 3), payments, _came(3))
    mail = {
        "idTransaction": _id(3),
        "kind": "fraud_notice",
        "recipient": f"{_CUSTOMER}@example.com",
        "messageId": "<1@bank.example>",
        "status": "accepted",
        "reply": "",
        "attempts": 1,
        "firstTriedAt": _iso(_came(3) + timedelta(seconds=2)),
        "finishedAt": _iso(_came(3) + timedelta(seconds=3)),
        "topic": FRAUD_TRANSACTION,
        "partition": 0,
        "offset": 0,
        "recordTimestamp": _iso(_came(3)),
    }
    batch = _batch(FRAUD_TRANSACTION, 0, [_record(3)], _came(3))
    _put_object(lake, MAILS, batch, orjson.dumps(mail, option=orjson.OPT_APPEND_NEWLINE), _came(3))
    return lake


def _put(lake: Lake, topic: str, number: int, records: Sequence[dict[str, Any]], at: datetime) -> None:
    batch = _batch(topic, number, records, at)
    _put_object(lake, FOLDER_OF[topic], batch, bytes(LINES_OF[topic](batch)), at)


def _put_object(lake: Lake, folder: str, batch: Batch, body: bytes, at: datetime) -> None:
    link = Link(batch.partition, 0, 0, batch.next_offset, totals_of(batch.offsets, batch.rows))
    name = object_name(folder, at.date(), *batch.partition, 0)
    lake.store.create(name, igzip.compress(body), content_type=GZIP, metadata=link.metadata())


def _batch(topic: str, number: int, records: Sequence[dict[str, Any]], at: datetime) -> Batch:
    rows = pa.RecordBatch.from_pylist(list(records), schema=arrow_schema(topic))
    times = np.full(len(records), int(at.timestamp() * 1000))
    return Batch(Partition(topic, number), np.arange(len(records)), times, rows, len(records))


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
