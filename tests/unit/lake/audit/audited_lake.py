"""Topics with a few records, and a lake with their rows."""

import json

import numpy as np
from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION, Partition
from fraudstream.lake.audit.audit import compare_with_lake
from fraudstream.lake.audit.topics import FirstAnswer, TopicPartitionContent, TopicsContent
from fraudstream.lake.stream import lines, names
from fraudstream.lake.stream.appending import AppendingChain
from fraudstream.lake.stream.names import day_of
from fraudstream.lake.stream.totals import Totals
from isal import igzip

from tests.fakes.lakes import new_lake
from tests.unit.lake.rows import MIDNIGHT_MS, answer, batch, row

NON_FRAUD = Partition(NON_FRAUD_TRANSACTION, 0)
FRAUD = Partition(FRAUD_TRANSACTION, 0)
ANSWERS = Partition(FRAUD_CONFIRMATION, 0)
DAY = day_of(MIDNIGHT_MS)


def array(*offsets):
    return np.asarray(offsets, np.int64)


def topics():
    """The topics: transaction markers at 3 and 7, an undecodable record at 5, a second answer at 1."""
    return TopicsContent(
        {
            NON_FRAUD: TopicPartitionContent(0, 8, array(0, 1, 2, 4, 5, 6), array(5), array()),
            FRAUD: TopicPartitionContent(0, 2, array(0, 1), array(), array()),
            ANSWERS: TopicPartitionContent(0, 2, array(0, 1), array(), array(1)),
        },
        cases={"tx-0": MIDNIGHT_MS, "tx-1": MIDNIGHT_MS},
        answers={"tx-0": FirstAnswer("NO_RESPONSE", MIDNIGHT_MS)},
    )


def mail_line(partition, offset):
    document = {"idTransaction": f"tx-{offset}", "status": "sent", "attempts": 1, "topic": partition.topic}
    document |= {"partition": partition.number, "offset": offset, "recordTimestamp": "2023-10-07T00:00:00.000Z"}
    return json.dumps(document).encode() + b"\n"


def put(lake, folder, partition, offsets, end):
    """Appends an object with a line for each of `offsets` to the chain."""
    if folder == names.MAILS:
        body = b"".join(mail_line(partition, offset) for offset in offsets)
    else:
        rows = [answer(o, "NO_RESPONSE") if partition == ANSWERS else row(o) for o in offsets]
        body = bytes(lines.LINES_OF[partition.topic](batch(offsets, rows=rows, partition=partition)))
    chain = AppendingChain(lake.store, folder)
    chain.open(partition)
    chain.append(partition, offsets[0], end, DAY, igzip.compress(body), Totals(len(offsets), sum(offsets)))


def whole():
    """A lake and a mail log that are complete."""
    lake = new_lake()
    for partition, offsets, end in ((NON_FRAUD, [0, 1, 2, 4, 6], 8), (FRAUD, [0, 1], 2), (ANSWERS, [0], 2)):
        for folder in (names.FOLDER_OF[partition.topic], names.MAILS):
            put(lake, folder, partition, offsets, end)
    return lake


def audited(lake, content=None):
    return compare_with_lake(content or topics(), lake, 0.0)


def line_of(report, partition, target):
    return next(line for line in report.lines if (line.partition, line.target) == (partition, target))
