"""Readers' schemas match what the writers write."""

from datetime import UTC, datetime

import pytest
from fraudstream.errors import LakeError
from fraudstream.kafka.records import NON_FRAUD_TRANSACTION, Partition
from fraudstream.lake.stream.names import FOLDERS, MAILS
from fraudstream.lake.table.schemas import SORT_ORDER, rows_of_lines, rows_schema
from fraudstream.mail.letter.letters import Letter, log_lines
from fraudstream.mail.smtp.conversation import Mail
from pyiceberg.types import LongType

from tests.fakes.lakes import new_lake
from tests.unit.lake.rows import batch


def test_a_line_of_the_mail_log_fits_the_columns():
    mail = Mail("C1@example.com", b"")
    mail.status, mail.reply, mail.attempts = "sent", '250 "ok"', 2
    mail.first_tried_at, mail.finished_at = 1_696_636_800.25, 1_696_636_801.5
    letter = Letter(mail, "tx-1", "notice", "<1@bank.example>", 12, 1_696_636_800_001, batch([12]), 0)
    rows = rows_of_lines(MAILS, "a", log_lines(Partition(NON_FRAUD_TRANSACTION, 3), [letter]))
    assert rows.schema == rows_schema(MAILS)
    assert rows.to_pylist() == [
        {
            "idTransaction": "tx-1",
            "kind": "notice",
            "recipient": "C1@example.com",
            "messageId": "<1@bank.example>",
            "status": "sent",
            "reply": '250 "ok"',
            "attempts": 2,
            "firstTriedAt": datetime(2023, 10, 7, 0, 0, 0, 250_000, UTC),
            "finishedAt": datetime(2023, 10, 7, 0, 0, 1, 500_000, UTC),
            "topic": NON_FRAUD_TRANSACTION,
            "partition": 3,
            "offset": 12,
            "recordTimestamp": datetime(2023, 10, 7, 0, 0, 0, 1_000, UTC),
        }
    ]


@pytest.mark.parametrize("folder", FOLDERS)
def test_files_are_sorted_by_columns_that_are_there(folder):
    assert {*SORT_ORDER[folder]} <= {*rows_schema(folder).names}


def test_a_table_whose_columns_another_program_changed_is_named():
    lake = new_lake()
    table = lake.tables.load_or_create("transaction")
    with table.update_schema(allow_incompatible_changes=True) as update:
        for name in ("type", "amount"):
            update.delete_column(name)
    with table.update_schema() as update:
        update.add_column("type", LongType())
    with pytest.raises(LakeError, match=r"amount.*transaction, which another program has changed"):
        lake.tables.load_or_create("transaction")


@pytest.mark.parametrize(
    "line",
    [
        b'{"amount":0.005,"topic":"t","partition":0,"offset":0,"recordTimestamp":"2023-10-07T00:00:00.000Z"}\n',
        b'{"amount":1,"topic":"t","partition":0,"offset":0}\n',
        b'{"surprise":1}\n',
        b"[1]\n",
    ],
)
def test_a_line_that_doesnt_fit_is_refused_with_the_objects_name(line):
    with pytest.raises(LakeError, match="object transaction/x"):
        rows_of_lines("transaction", "transaction/x", line)
