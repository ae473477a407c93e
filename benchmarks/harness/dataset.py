"""The benchmarks' data set files, on disk and in the object store."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl
from fraudstream.dataset.generator import plan, write_file
from fraudstream.lake.store.cloud_storage import Store
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from isal import igzip

from benchmarks.harness.stack import FOLDER

_SEED = 1


def paysim(rows: int) -> Path:
    """Path of a PaySim-shaped file with this many rows; it is generated once and kept for later benchmarks."""
    path = FOLDER / f"paysim-{rows}.csv"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        write_file(part, plan(rows), _SEED, lambda _: None)
        part.rename(path)
    return path


def lake(environment: Mapping[str, str]) -> Store:
    """The bucket of the benchmarks' stack."""
    client = storage.Client(
        project="local",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": environment["STORAGE_EMULATOR_HOST"]},
    )
    return Store(client, environment["FRAUDSTREAM_LAKE_BUCKET"])


def lines_and_records(store: Store, prefix: str) -> tuple[int, int]:
    """The number of lines in all JSON objects under a prefix, and the number of different records among them."""
    places = pl.concat(
        pl.read_ndjson(igzip.decompress(store.download(info) or b"")).select("partition", "offset", "idTransaction")
        for info in store.list(prefix)
    )
    different = min(places.select("partition", "offset").n_unique(), places["idTransaction"].n_unique())
    return len(places), different


def upload(store: Store, path: Path, name: str) -> str:
    """Uploads a file as a new object and returns its URI. benchmarks.ours.produce uses the URI as the replay's name.

    So the same file under another name gives rows with other ids.
    """
    store.create(f"dataset/{name}", path, content_type="text/csv", metadata={})
    return f"gs://{store.bucket}/dataset/{name}"
