import errno
import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from fraudstream.dataset import open_source
from fraudstream.dataset.source import source
from fraudstream.errors import DatasetError, DatasetNotFound, LakeUnavailable, SettingsError
from google.api_core import exceptions as google
from google.auth import exceptions as auth
from google.cloud.storage.retry import DEFAULT_RETRY

from tests.unit.dataset.source.source_behaviour import CONTENT, SourceBehaviour
from tests.unit.dataset.source.source_stores import DirectoryStore, FakeDownloads, FakeStore


def fails(*_: object) -> bytes:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


class TestLocalFile(SourceBehaviour):
    @pytest.fixture
    def store(self, tmp_path: Path) -> DirectoryStore:
        return DirectoryStore(tmp_path)

    def test_a_link_without_its_file_is_told_with_how_git_annex_fetches_it(self, tmp_path: Path) -> None:
        path = tmp_path / "paysim.csv"
        path.symlink_to(".git/annex/objects/x/SHA256E-s493534783--ab.csv")
        with pytest.raises(DatasetNotFound, match=r"is a link to '\.git/annex/.*--ab\.csv'.*`git annex get`"):
            open_source(str(path), None)

    def test_a_file_that_grows_while_it_is_read_is_another_one(self, tmp_path: Path) -> None:
        path = tmp_path / "paysim.csv"
        path.write_bytes(CONTENT)
        stream = open_source(str(path), None).stream()
        with path.open("ab") as file:
            file.write(b"more\n")
        with pytest.raises(DatasetError, match="was replaced"):
            next(stream)

    @pytest.mark.parametrize("name", ["paysim.csv", "paysim.csv.gz"])
    def test_a_file_that_vanishes_or_can_not_be_read_is_not_called_damaged(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        path = tmp_path / name
        path.write_bytes(gzip.compress(CONTENT) if name.endswith("gz") else CONTENT)
        stream = open_source(str(path), None).stream()
        with monkeypatch.context() as patched:
            patched.setattr(os, "pread", fails)
            with pytest.raises(DatasetError, match=r"paysim\.csv.* can't be read: Input/output error"):
                next(stream)
        stream = open_source(str(path), None).stream()
        path.unlink()
        with pytest.raises(DatasetError, match=r"was replaced .* found none"):
            next(stream)

    def test_the_id_is_made_of_the_name_without_its_directories(self, tmp_path: Path) -> None:
        paths = [tmp_path / directory / "paysim.csv" for directory in "ab"]
        for path in paths:
            path.parent.mkdir()
            path.write_bytes(CONTENT)
            os.utime(path, ns=(1, 1))
        first, second = (open_source(str(path), None) for path in paths)
        assert first.id_prefix == second.id_prefix

    def test_a_directory_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="is not a regular file"):
            open_source(str(tmp_path), None)


class TestObjectInFake(SourceBehaviour):
    @pytest.fixture
    def store(self, monkeypatch: pytest.MonkeyPatch) -> FakeStore:
        monkeypatch.setattr(source, "Downloads", FakeDownloads)
        monkeypatch.setattr(source, "DEFAULT_RETRY", DEFAULT_RETRY.with_delay(0.001).with_timeout(0.02))
        return FakeStore()

    def test_a_download_that_breaks_off_is_tried_again(self, store: FakeStore) -> None:
        uri = store.put("paysim.csv", CONTENT)
        failures = [ConnectionResetError("reset"), google.ServiceUnavailable("down")]

        def fail() -> None:
            if failures:
                raise failures.pop()

        store.bucket.before_download = fail
        assert b"".join(open_source(uri, store.client).stream()) == CONTENT
        assert not failures

    @pytest.mark.parametrize(
        ("raised", "expected"),
        [
            (google.ServiceUnavailable("down"), LakeUnavailable),
            (google.RetryError("gave up", cause=None), LakeUnavailable),
            (requests.ConnectionError("refused"), LakeUnavailable),
            (ConnectionError("nothing came"), LakeUnavailable),
            (auth.TransportError("no token server"), LakeUnavailable),
            (auth.RefreshError("invalid_grant"), DatasetError),
            (auth.RefreshError("ask again", retryable=True), LakeUnavailable),
            (google.Forbidden("no storage.objects.get"), DatasetError),
            (google.BadRequest("what?"), DatasetError),
        ],
        ids=lambda value: getattr(value, "__name__", type(value).__name__),
    )
    def test_the_library_s_errors_become_ours(
        self, store: FakeStore, raised: Exception, expected: type[Exception]
    ) -> None:
        uri = store.put("paysim.csv", CONTENT)

        def fail() -> None:
            raise raised

        store.bucket.before_download = fail
        with pytest.raises(expected, match=r"gs://data/paysim\.csv"):
            open_source(uri, store.client)

    def test_an_object_deleted_while_it_is_read_fails(self, store: FakeStore) -> None:
        stream = open_source(store.put("paysim.csv", CONTENT), store.client).stream()
        store.bucket.objects.clear()
        with pytest.raises(DatasetError, match="was replaced"):
            next(stream)

    def test_only_the_range_that_is_needed_is_downloaded(self, store: FakeStore) -> None:
        opened = open_source(store.put("paysim.csv", CONTENT), store.client)
        downloads: list[int] = []
        store.bucket.before_download = lambda: downloads.append(1)
        assert b"".join(opened.stream(len(CONTENT) - 5)) == CONTENT[-5:]
        assert len(downloads) == 1


@pytest.mark.parametrize("uri", ["gs://", "gs://bucket", "gs://bucket/", "gs:///object"])
def test_a_uri_without_bucket_or_object_is_refused(uri: str) -> None:
    with pytest.raises(SettingsError, match="expected gs://bucket/object"):
        open_source(uri, FakeStore().client)


def test_another_scheme_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"found scheme s3://"):
        open_source("s3://bucket/object", None)


def test_an_object_without_a_client_is_refused() -> None:
    with pytest.raises(SettingsError, match="needs a Cloud Storage client"):
        open_source("gs://bucket/object", None)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda stored: stored[:-20], "ends inside its gzip stream"),
        (lambda stored: stored[:40] + b"\xff\xff\xff\xff" + stored[44:], "damaged gzip"),
        (lambda stored: stored[:-8] + bytes(4) + stored[-4:], "damaged gzip"),
        (lambda stored: stored + b"no second member", "bytes behind the end of its gzip"),
    ],
    ids=["cut off", "overwritten", "wrong checksum", "garbage at its end"],
)
def test_a_damaged_gzip_is_an_error_not_an_end(tmp_path: Path, damage: Callable[[bytes], bytes], message: str) -> None:
    path = tmp_path / "paysim.csv.gz"
    path.write_bytes(damage(gzip.compress(CONTENT)))
    with pytest.raises(DatasetError, match=message):
        list(open_source(str(path), None).stream())
