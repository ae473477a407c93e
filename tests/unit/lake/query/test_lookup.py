"""A look-up finds the same as a query, and returns the place of each row."""

import re

import pytest
from fraudstream.errors import LakeUnavailable
from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION, Partition
from fraudstream.lake.compaction.protocol import compact
from fraudstream.lake.query.lookup import look_up

from tests.fakes.lakes import new_lake
from tests.unit.lake.compaction import engine_behaviour
from tests.unit.lake.filled_day import DAY, FOLDER, filled, put
from tests.unit.lake.rows import answer, batch, row

CASES = "fraud_confirmation"


def test_a_row_is_found_in_its_object_and_later_in_the_table():
    lake = filled()
    (before,) = look_up(lake, FOLDER, "idTransaction", "tx-7")
    assert re.fullmatch(r"object transaction/dt=2023-10-07/non_fraud_transaction-3-\d{20}\.json\.gz", before.place)
    compact(lake, FOLDER, DAY)
    (after,) = look_up(lake, FOLDER, "idTransaction", "tx-7")
    assert after.row == before.row
    assert re.fullmatch(r"table transaction, since snapshot \d+ of .* UTC or before", after.place)


def test_an_id_that_begins_like_another_one_or_stands_in_another_column_is_not_found():
    lake = new_lake()
    engine_behaviour.put(lake, FOLDER, batch([0, 1], rows=[row(11), row(2, nameDest='tx-1","idTransaction":"tx-3')]))
    assert look_up(lake, FOLDER, "idTransaction", "tx-1") == []
    assert look_up(lake, FOLDER, "idTransaction", "tx-3") == []
    assert len(look_up(lake, FOLDER, "idTransaction", "tx-11")) == 1


def test_a_customers_rows_come_in_the_order_of_their_records_from_json_and_table():
    lake = filled()

    def records():
        return [found.record[1:] for found in look_up(lake, FOLDER, "nameOrig", "C1")]

    assert records() == [(0, 1), (3, 1), (3, 8)]
    compact(lake, FOLDER, DAY)
    put(lake, 9, 20)
    assert records() == [(0, 1), (3, 1), (3, 8), (3, 15)]


def test_only_objects_of_the_asked_partitions_are_read():
    lake = new_lake()
    engine_behaviour.put(lake, CASES, batch([0], rows=[row(0)], partition=Partition(FRAUD_TRANSACTION, 1)))
    said = [answer(0, "REPORTED_FRAUD")]
    engine_behaviour.put(lake, CASES, batch([0], rows=said, partition=Partition(FRAUD_CONFIRMATION, 2)))
    assert len(look_up(lake, CASES, "idTransaction", "tx-0")) == 2
    read = []
    lake.store.before = lambda operation, name: read.append(name) if operation == "download" else None
    (found,) = look_up(lake, CASES, "idTransaction", "tx-0", objects_of=lambda p: p.topic == FRAUD_CONFIRMATION)
    assert found.record == (FRAUD_CONFIRMATION, 2, 0)
    assert len(read) == 1


def test_a_compaction_meanwhile_hides_no_row():
    lake = filled()
    calls = []

    def compacting(operation, name):
        if operation == "download" and not calls:
            calls.append(name)
            compact(lake, FOLDER, DAY)

    lake.store.before = compacting
    (found,) = look_up(lake, FOLDER, "idTransaction", "tx-7")
    assert calls
    assert found.place.startswith("table transaction")


def test_objects_that_vanish_for_ever_are_an_error():
    lake = filled()
    lake.store.download = lambda info: None
    with pytest.raises(LakeUnavailable, match="vanished 20 times"):
        look_up(lake, FOLDER, "idTransaction", "tx-7")
