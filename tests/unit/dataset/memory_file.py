"""Reads content from memory."""

import zlib

from fraudstream.dataset import Chunk, Position, Rejected, Source, read_chunks
from fraudstream.dataset.source.formats import packing_of
from hypothesis import settings

from tests.unit.dataset.source.source_behaviour import START_DATE

#: The first example imports what Arrow needs, which takes longer than a sensible deadline for the others.
UNTIMED = settings(deadline=None, max_examples=50)
START = Position(0, 0)
GOOD = b"1,PAYMENT,9839.64,C1,170136.0,160296.36,M1,0.0,0.0,0,0\n"


def memory_source(stored: bytes, block_bytes: int = 4096) -> Source:
    return Source(
        uri="paysim.csv",
        generation="1",
        size=len(stored),
        checksum=f"{zlib.crc32(stored):08x}",
        packing=packing_of(stored),
        fetch=lambda start, length: stored[start : start + length],
        block_bytes=block_bytes,
    )


def read(stored: bytes, start: Position = START, chunk_rows: int = 50_000, block_bytes: int = 4096) -> list[Chunk]:
    return list(read_chunks(memory_source(stored, block_bytes), start, start_date=START_DATE, chunk_rows=chunk_rows))


def rows_of(chunks: list[Chunk]) -> list[dict[str, object]]:
    return [row for chunk in chunks for row in chunk.rows.to_pylist()]


def rejected_of(chunks: list[Chunk]) -> list[Rejected]:
    return [rejected for chunk in chunks for rejected in chunk.rejected]
