"""The common behaviour of all sources; subclasses provide the store with the content."""

import gzip
import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from fraudstream.dataset import Position, open_source, read_chunks
from fraudstream.errors import DatasetError, DatasetNotFound

from tests.unit.dataset.source.source_stores import Store

HEADER = (
    b"step,type,amount,nameOrig,oldbalanceOrg,newbalanceOrig,nameDest,oldbalanceDest,newbalanceDest,"
    b"isFraud,isFlaggedFraud\n"
)
CONTENT = HEADER + b"".join(b"1,PAYMENT,9839.64,C%d,170136.0,160296.36,M1,0.0,0.0,0,0\n" % i for i in range(40))
START_DATE = datetime(2023, 10, 1, tzinfo=UTC)


def plain(content: bytes) -> tuple[bytes, str | None]:
    return content, None


def gzipped(content: bytes) -> tuple[bytes, str | None]:
    return gzip.compress(content), None


def gzipped_in_two_members(content: bytes) -> tuple[bytes, str | None]:
    return gzip.compress(content[:100]) + gzip.compress(content[100:]), None


def gzipped_with_content_encoding(content: bytes) -> tuple[bytes, str | None]:
    return gzip.compress(content), "gzip"


def zipped(content: bytes) -> tuple[bytes, str | None]:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("log.csv", content)
    return out.getvalue(), None


PACKS = [plain, gzipped, gzipped_in_two_members, gzipped_with_content_encoding]
stored_as = pytest.mark.parametrize("pack", [*PACKS, zipped], ids=lambda pack: pack.__name__)
Pack = Callable[[bytes], tuple[bytes, str | None]]


class SourceBehaviour:
    """Needs a fixture `store`."""

    @stored_as
    @pytest.mark.parametrize("byte", [0, 1, len(HEADER), len(CONTENT) - 1, len(CONTENT)])
    def test_streams_the_uncompressed_content_from_any_byte(self, store: Store, pack: Pack, byte: int) -> None:
        source = replace(open_source(store.put("paysim.csv", *pack(CONTENT)), store.client), block_bytes=700)
        assert b"".join(source.stream(byte)) == CONTENT[byte:]

    @pytest.mark.parametrize("pack", PACKS, ids=lambda pack: pack.__name__)
    def test_size_is_in_bytes_as_stored_and_all_of_them_are_read(self, store: Store, pack: Pack) -> None:
        stored, encoding = pack(CONTENT)
        source = open_source(store.put("paysim.csv", stored, encoding), store.client)
        stream = source.stream()
        assert b"".join(stream) == CONTENT
        assert source.size == stream.stored_bytes == len(stored)

    @stored_as
    def test_reading_goes_on_from_the_position_of_any_chunk(self, store: Store, pack: Pack) -> None:
        source = open_source(store.put("paysim.csv", *pack(CONTENT)), store.client)
        chunks = list(read_chunks(source, Position(0, 0), start_date=START_DATE, chunk_rows=15))
        assert [chunk.rows.num_rows for chunk in chunks] == [15, 15, 10]
        again = list(read_chunks(source, chunks[0].position, start_date=START_DATE, chunk_rows=15))
        assert [chunk.rows for chunk in again] == [chunk.rows for chunk in chunks[1:]]

    def test_a_position_beyond_the_end_is_refused(self, store: Store) -> None:
        for pack in (plain, gzipped):
            source = open_source(store.put("paysim.csv", *pack(CONTENT)), store.client)
            with pytest.raises(DatasetError, match=r"lies beyond its end"):
                source.stream(len(CONTENT) + 1)

    def test_another_content_under_the_name_has_another_generation(self, store: Store) -> None:
        first = open_source(store.put("paysim.csv", CONTENT), store.client)
        second = open_source(store.put("paysim.csv", CONTENT[::-1]), store.client)
        assert first.uri == second.uri
        assert first.generation != second.generation
        assert first.id_prefix != second.id_prefix

    def test_a_replaced_source_fails_instead_of_mixing_two_contents(self, store: Store) -> None:
        source = replace(open_source(store.put("paysim.csv", CONTENT), store.client), block_bytes=500)
        stream = source.stream()
        assert next(stream) == CONTENT[:500]
        store.put("paysim.csv", CONTENT[::-1])
        with pytest.raises(DatasetError, match=rf"was replaced .* expected generation {source.generation}"):
            next(stream)

    def test_a_missing_object_is_not_found(self, store: Store) -> None:
        uri = store.put("paysim.csv", CONTENT) + ".missing"
        with pytest.raises(DatasetNotFound, match=r"paysim\.csv\.missing"):
            open_source(uri, store.client)

    def test_a_missing_bucket_or_directory_is_not_found(self, store: Store) -> None:
        with pytest.raises(DatasetNotFound, match=r"no-such-"):
            open_source(store.missing_container("paysim.csv"), store.client)

    def test_an_empty_source_is_refused(self, store: Store) -> None:
        with pytest.raises(DatasetError, match=r"is empty: found 0 bytes"):
            open_source(store.put("empty.csv", b""), store.client)
