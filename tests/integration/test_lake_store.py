"""The lake's store on the local stack's object store."""

import uuid
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import pytest
from fraudstream.errors import LakeError
from fraudstream.lake.compaction.protocol import compact
from fraudstream.lake.query.view import read_rows
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.store.objects import JSON
from fraudstream.lake.stream import lines
from fraudstream.lake.stream.appending import AppendingChain
from fraudstream.lake.stream.sink import JsonSink
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from tests.integration.buckets import lake_on
from tests.unit.lake.rows import PARTITION, batch
from tests.unit.lake.store_behaviour import StoreBehaviour

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def client(stack: Mapping[str, str]) -> Iterator[storage.Client]:
    client = storage.Client(
        project="local",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": stack["STORAGE_EMULATOR_HOST"]},
    )
    yield client
    client.close()


@pytest.fixture
def store(client: storage.Client) -> Iterator[Store]:
    bucket = client.create_bucket(f"test-lake-{uuid.uuid4().hex[:12]}")
    yield Store(client, bucket.name)
    bucket.delete(force=True)


class TestStore(StoreBehaviour):
    @pytest.fixture
    def folder(self) -> str:
        return "folder"


def test_a_bucket_that_isnt_there_is_named(client: storage.Client) -> None:
    with pytest.raises(LakeError, match="bucket test-lake-none does not exist"):
        Store(client, "test-lake-none").create("a", b"", content_type=JSON, metadata={})


def test_records_go_through_the_sink_and_a_compaction_and_come_back_once(store: Store, tmp_path: Path) -> None:
    day = date(2023, 10, 7)
    lake = lake_on(store, tmp_path)
    sink = JsonSink(AppendingChain(store, "transaction"), lines.transaction, flush_rows=10, flush_seconds=5)
    assert sink.assigned(PARTITION, None) == 0
    for start in range(0, 30, 10):
        sink.write(batch(range(start, start + 10)))
        assert sink.flush() == {PARTITION: start + 10}
    sink.close()
    assert AppendingChain(store, "transaction").open(PARTITION) == 30

    def offsets() -> list[int]:
        return sorted(
            o for table in read_rows(lake, "transaction", ["offset"], day=day) for o in table["offset"].to_pylist()
        )

    assert offsets() == list(range(30))
    report = compact(lake, "transaction", day)
    assert (report.json_objects, report.json_rows, report.files) == (3, 30, 1)
    assert offsets() == list(range(30))
    assert store.list("transaction/") == []
    assert [info.name.split("/")[0] for info in store.list("") if info.name.endswith(".parquet")] == ["iceberg"]
    assert lake.tables.offsets("transaction") == {PARTITION: 30}
