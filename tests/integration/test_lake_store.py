"""The lake's store with the local stack's object store."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fraudstream.errors import LakeError, LakeUnavailable
from fraudstream.lake.compaction.protocol import compact
from fraudstream.lake.query.view import read_rows
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.store.objects import JSON
from fraudstream.lake.stream import lines, names
from fraudstream.lake.stream.appending import AppendingChain
from fraudstream.lake.stream.sink import JsonSink
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from tests.chaos.proxy import OBJECT_SECONDS, FaultyProxy
from tests.integration.buckets import lake_on
from tests.unit.lake.rows import PARTITION, batch
from tests.unit.lake.store.store_behaviour import StoreBehaviour

pytestmark = pytest.mark.integration


@contextmanager
def client_of(endpoint: str) -> Iterator[storage.Client]:
    client = storage.Client(
        project="local", credentials=AnonymousCredentials(), client_options={"api_endpoint": endpoint}
    )
    try:
        yield client
    finally:
        client.close()


@pytest.fixture(scope="module")
def client(stack: Mapping[str, str]) -> Iterator[storage.Client]:
    with client_of(stack["STORAGE_EMULATOR_HOST"]) as client:
        yield client


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


@contextmanager
def limited(
    stack: Mapping[str, str], bucket: str, seconds: float, patience: float
) -> Iterator[tuple[Store, FaultyProxy]]:
    """The store behind a proxy with Cloud Storage's limit of writes to one object name."""
    port = urlsplit(stack["STORAGE_EMULATOR_HOST"]).port or 0
    with (
        FaultyProxy(port, 0, object_seconds=seconds) as proxy,
        client_of(f"http://127.0.0.1:{proxy.port}") as client,
    ):
        yield Store(client, bucket, patience=patience), proxy


def test_a_second_write_of_an_object_name_is_refused_until_its_time_is_over(
    stack: Mapping[str, str], store: Store
) -> None:
    with limited(stack, store.bucket, seconds=3600.0, patience=0.1) as (behind, proxy):
        first = behind.replace("progress", b"1", 0, content_type=JSON)
        assert first is not None
        with pytest.raises(LakeUnavailable, match="429"):
            behind.replace("progress", b"2", first.generation, content_type=JSON)
        assert behind.create("another", b"1", content_type=JSON, metadata={}).ours
        assert set(proxy.refused) == {"progress"}
        assert proxy.written == {"progress": 1, "another": 1}
    found = store.get("progress")
    assert found is not None
    assert found.data == b"1"


def test_writers_that_take_over_from_each_other_write_faster_than_one_object_a_second(
    stack: Mapping[str, str], store: Store
) -> None:
    flushes = 20
    with limited(stack, store.bucket, seconds=OBJECT_SECONDS, patience=60.0) as (behind, proxy):
        for start in (0, flushes):
            sink = JsonSink(AppendingChain(behind, "transaction"), lines.transaction, flush_rows=10, flush_seconds=5)
            assert sink.assigned(PARTITION, None) == start
            for offset in range(start, start + flushes):
                sink.write(batch([offset]))
                assert sink.flush() == {PARTITION: offset + 1}
            sink.close()
        objects = [info.name for info in store.list("transaction/")]
        progress = names.progress_name("transaction", *PARTITION)
        assert proxy.written == {**dict.fromkeys(objects, 1), progress: proxy.written[progress]}
        assert len(objects) == 2 * flushes
        # The progress is written at the start, every half minute and at the end, not with each object.
        assert proxy.written[progress] < flushes / 2
        assert set(proxy.refused) <= {progress}
    assert AppendingChain(store, "transaction").open(PARTITION) == 2 * flushes


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
