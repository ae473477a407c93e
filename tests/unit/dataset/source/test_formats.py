"""Compression is detected from the content; other formats are refused by name, with the command to convert the file."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Mapping

import pyarrow as pa
import pytest
from fraudstream.dataset import read_chunks
from fraudstream.errors import DatasetError, WrongFormat
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import csv, parquet

from tests.unit.dataset.memory_file import START, UNTIMED, memory_source, read, rows_of
from tests.unit.dataset.source.source_behaviour import CONTENT, HEADER, START_DATE

TABLE = CONTENT.decode()
MARK = b"\xef\xbb\xbf"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 1\n"
DVC = b"outs:\n- md5: ab\n  size: 1\n  path: paysim.csv\n"


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def encrypted(archive: bytes) -> bytes:
    """The archive with the encryption flag set in its local header and its directory."""
    changed = bytearray(archive)
    changed[6] |= 1
    changed[changed.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(changed)


def tarred() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        info = tarfile.TarInfo("paysim.csv")
        info.size = len(CONTENT)
        archive.addfile(info, io.BytesIO(CONTENT))
    return out.getvalue()


def in_parquet() -> bytes:
    out = pa.BufferOutputStream()
    parquet.write_table(csv.read_csv(io.BytesIO(CONTENT)), out)
    return out.getvalue().to_pybytes()


def zstd(content: bytes) -> bytes:
    return pa.Codec("zstd").compress(content, asbytes=True)  # type: ignore[no-any-return]


def with_row_names(separator: bytes) -> bytes:
    """A table as R writes it: with a name at the start of each row that the header doesn't have."""
    header, *rows = CONTENT.splitlines(keepends=True)
    lines = [header, *(b'"%d",%s' % (number, row) for number, row in enumerate(rows, 1))]
    return b"".join(lines).replace(b",", separator)


PACKED = {
    "gzip": gzip.compress(CONTENT),
    "gzip with the zeros of a tape block": gzip.compress(CONTENT) + bytes(512),
    "zip": zipped({"PS_log.csv": CONTENT}),
    "zip, stored": zipped({"PS_log.csv": CONTENT}, zipfile.ZIP_STORED),
    "zip, bzip2 inside": zipped({"PS_log.csv": CONTENT}, zipfile.ZIP_BZIP2),
    "zip with a folder": zipped({"paysim/": b"", "paysim/log.CSV": CONTENT, "__MACOSX/paysim/._log.csv": b"x"}),
    "zip with a licence": zipped({"LICENSE": b"free", "log.csv": CONTENT, ".DS_Store": b"x"}),
    "zip of a file without ending": zipped({"paysim": CONTENT}),
    "zip with bytes behind it": zipped({"log.csv": CONTENT}) + b"\n",
    "zstd": zstd(CONTENT),
    "zstd of two frames": zstd(CONTENT[:500]) + zstd(CONTENT[500:]),
}


@pytest.mark.parametrize("stored", PACKED.values(), ids=PACKED)
@pytest.mark.parametrize("block_bytes", [50, 4096])
def test_a_packed_file_is_read_and_resumed_like_its_content(stored: bytes, block_bytes: int) -> None:
    plain = rows_of(read(CONTENT))
    chunks = read(stored, chunk_rows=15, block_bytes=block_bytes)
    without_ids = [{**row, "idTransaction": None} for row in rows_of(chunks)]
    assert without_ids == [{**row, "idTransaction": None} for row in plain]
    again = read(stored, chunks[0].position, chunk_rows=15, block_bytes=block_bytes)
    assert rows_of(again) == rows_of(chunks)[15:]


DAMAGED = {
    "cut zip": (zipped({"log.csv": CONTENT})[:-40], "is a damaged zip"),
    "changed zip": (zipped({"log.csv": CONTENT}, 0).replace(b"9839.64,C7,", b"9839.65,C7,"), "damaged zip .*CRC"),
    "empty zip": (zipped({}), "a zip of 0 files"),
    "cut gzip": (gzip.compress(CONTENT)[:-9], "ends inside its gzip stream"),
    "cut zstd": (zstd(CONTENT)[:-9], "ends inside its zstd stream"),
    "bytes behind zstd": (zstd(CONTENT) + b"XX", "has bytes behind the end of its zstd that are not zstd"),
    "a byte behind gzip": (gzip.compress(CONTENT) + b"\n", "has bytes behind the end of its gzip that are not gzip"),
    "bytes behind gzip": (
        gzip.compress(CONTENT) + b"X" * 9,
        "has bytes behind the end of its gzip .* gzip -dc < paysim",
    ),
    "many behind gzip": (gzip.compress(CONTENT) + b"X" * 999, "has bytes behind the end of its gzip that are not gzip"),
    "bytes behind padding": (gzip.compress(CONTENT) + bytes(512) + b"X", "has bytes behind the end of its gzip"),
    "cut header of a second gzip": (gzip.compress(CONTENT) + b"\x1f\x8b\x08\0", "ends inside its gzip stream"),
    "gzip of another sum": (gzip.compress(CONTENT)[:-8] + bytes(8), "is a damaged gzip .*CRC"),
    "empty gzip": (gzip.compress(b""), "is empty: found 0 bytes in its gzip"),
}


@pytest.mark.parametrize(("stored", "message"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_packing_is_an_error(stored: bytes, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read(stored)


OTHERS = {
    "bzip2": (bz2.compress(CONTENT), "a bzip2 file"),
    "xz": (lzma.compress(CONTENT), "an xz file"),
    "lzma": (lzma.compress(CONTENT, lzma.FORMAT_ALONE), "an LZMA file"),
    "7z": (b"7z\xbc\xaf\x27\x1c\x00\x04", "a 7z archive"),
    "rar": (b"Rar!\x1a\x07\x01\x00", "a RAR archive"),
    "tar": (gzip.decompress(tarred()), "a tar archive"),
    "tar.gz": (tarred(), "a tar archive"),
    "gzip in gzip": (gzip.compress(gzip.compress(CONTENT)), "a gzip inside the packing"),
    "gzip in zip": (zipped({"log.csv.gz": gzip.compress(CONTENT)}), "a gzip inside the packing"),
    "zip in zip": (zipped({"archive.zip": zipped({"log.csv": CONTENT})}), "a zip inside the packing"),
    "zip of two": (zipped({"b.csv": CONTENT, "a.csv": CONTENT}), r"a zip of 2 files \(a\.csv, b\.csv\)"),
    "encrypted zip": (encrypted(zipped({"log.csv": CONTENT})), "an encrypted zip"),
    "xlsx": (zipped({"[Content_Types].xml": b"<x/>", "xl/workbook.xml": b"<x/>"}), "an Excel workbook"),
    "ods": (zipped({"mimetype": b"application/x", "content.xml": b"<x/>"}), "an OpenDocument spreadsheet"),
    "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "an old Excel workbook"),
    "parquet": (in_parquet(), "a Parquet file"),
    "arrow": (b"ARROW1\0\0\xff\xff", "an Arrow or Feather file"),
    "sqlite": (b"SQLite format 3\0\x10", "an SQLite database"),
    "json": (b'[{"step": 1, "type": "PAYMENT"}]\n', "is JSON"),
    "json lines": (b'\n{"step": 1, "type": "PAYMENT"}\n', "is JSON"),
    "xml": (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>', "is XML"),
    "web page": (b"\n<!DOCTYPE html>\n<html></html>", "a web page, not the data"),
    "lfs": (LFS, "a Git LFS pointer"),
    "lfs with mark": (MARK + LFS, "a Git LFS pointer"),
    "lfs with mark and crlf": (MARK + LFS.replace(b"\n", b"\r\n"), "a Git LFS pointer"),
    "lfs after a blank line": (b"\n" + LFS, "a Git LFS pointer"),
    "git-annex with mark": (MARK + b"/annex/objects/SHA256E-s1--a.csv\n", "a git-annex pointer"),
    "dvc": (DVC, "a DVC pointer"),
    "dvc with mark and crlf": (MARK + DVC.replace(b"\n", b"\r\n"), "a DVC pointer"),
    "dvc that begins with another key": (b"wdir: ..\n" + DVC, "a DVC pointer"),
    "web page with mark and crlf": (MARK + b"\r\n<!-- log in -->\r\n<html lang=en>\r\n", "a web page, not the data"),
    "json with mark": (MARK + b'\r\n{"error": {"code": 404}}', "is JSON"),
    "xml with mark": (MARK + b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>', "is XML"),
    "utf-16": (TABLE.encode("utf-16"), "text in UTF-16;"),
    "utf-16 le": (TABLE.encode("utf-16-le"), "text in UTF-16LE"),
    "utf-16 be": (TABLE.encode("utf-16-be"), "text in UTF-16BE"),
    "utf-16 be with mark": (b"\xfe\xff" + TABLE.encode("utf-16-be"), "text in UTF-16;"),
    "utf-32": (TABLE.encode("utf-32"), "text in UTF-32"),
    "semicolons": (CONTENT.replace(b",", b";"), "a CSV with semicolons instead of commas"),
    "decimal commas": (CONTENT.replace(b",", b";").replace(b".", b","), "a CSV with semicolons and decimal commas"),
    "tabs": (CONTENT.replace(b",", b"\t"), "a CSV with tabs instead"),
    "bars": (b"\xef\xbb\xbf" + CONTENT.replace(b",", b"|"), "a CSV with vertical bars instead"),
    "cr": (CONTENT.replace(b"\n", b"\r"), "text with carriage returns"),
    "sep=": (b"sep=,\r\n" + CONTENT, "a CSV that begins with a spreadsheet's line sep="),
    "binary": (b"\x01\x02\0\x03" * 100, "is binary data"),
    "nul bytes only": (bytes(5_000), "is binary data"),
    "binary without nul bytes": (b"\x07\xfe\x02\x93" * 100, "is binary data"),
    "png": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is a PNG image"),
    "jpeg": (b"\xff\xd8\xff\xe0\0\x10JFIF", "is a JPEG image"),
    "r data": (gzip.compress(b"RDX3\nX\n\0\0\0\x03"), "an R data file"),
    "r object": (gzip.compress(b"X\n\0\0\0\x03\0\x04"), "an R data file"),
    "pickle": (b"\x80\x05\x95\x0b\0", "a Python pickle"),
    "part of a web page": (b"<head><title>Sign in</title></head>", "a web page, not the data"),
    "cr, line feed at the end": (CONTENT.replace(b"\n", b"\r")[:-1] + b"\n", "text with carriage returns"),
    "thousands": (
        CONTENT.replace(b",", b"\t").replace(b"9839.64", b"1,234,567.50"),
        "a CSV with tabs and commas between thousands",
    ),
    "whole thousands": (
        CONTENT.replace(b",", b"\t").replace(b"9839.64", b"1,230"),
        "a CSV with tabs and commas between thousands",
    ),
    "thousands with points": (
        CONTENT.replace(b",", b";").replace(b".", b",").replace(b"9839,64", b"1.230,00"),
        "a CSV with semicolons, decimal commas and points between thousands",
    ),
    "row names": (with_row_names(b"\t"), "a CSV with tabs instead"),
    "row names, spaces": (with_row_names(b" "), "a CSV with spaces instead"),
    "row names, commas": (with_row_names(b","), "a CSV with R's row names"),
    "aligned": (CONTENT.replace(b",", b"   "), "a CSV with spaces instead"),
    "semicolons in gzip": (gzip.compress(CONTENT.replace(b",", b";")), "a CSV with semicolons instead"),
    "semicolons in zstd": (zstd(CONTENT.replace(b",", b";")), "a CSV with semicolons instead"),
    "semicolons in zip": (
        zipped({"LICENSE": b"free", "my [log].csv": CONTENT.replace(b",", b";")}),
        "a CSV with semicolons instead",
    ),
    "zip of a name with signs": (
        zipped({"-a\x1b[31m b.csv": CONTENT.replace(b",", b";")}),
        "a CSV with semicolons instead",
    ),
    "utf-16 in gzip": (gzip.compress(TABLE.encode("utf-16")), "text in UTF-16;"),
    "bzip2 in gzip": (gzip.compress(bz2.compress(CONTENT)), "a bzip2 file"),
    "gzip in zstd": (zstd(gzip.compress(CONTENT)), "a gzip inside the packing"),
}


@pytest.mark.parametrize(("stored", "message"), OTHERS.values(), ids=OTHERS)
def test_another_format_is_refused_by_name(stored: bytes, message: str) -> None:
    with pytest.raises(WrongFormat, match=f"^paysim.csv is .*{message}|^paysim.csv {message}"):
        read_chunks(memory_source(stored), START, start_date=START_DATE)


def test_a_zip_of_another_compression_is_refused_with_the_command_to_unpack_it() -> None:
    archive = bytearray(zipped({"log.csv": CONTENT}))
    archive[8] = archive[archive.rindex(b"PK\x01\x02") + 10] = 9  # deflate64, which Windows uses for large files
    with pytest.raises(
        WrongFormat, match=r"compression method 9, .* To unpack it: unzip -p paysim\.csv log\.csv > conv"
    ):
        read(bytes(archive))


def test_a_sentence_is_no_csv_with_spaces() -> None:
    with pytest.raises(DatasetError, match="the first line is not a known header: found Please sign in"):
        read(b"Please sign in to your account to see this\n")


@UNTIMED
@given(
    begin=st.sampled_from(
        [b"", HEADER, HEADER[:60], b"a,b,c", b"<html>", b"{", b"\xff\xfe", HEADER.replace(b",", b";")]
    ),
    character=st.sampled_from("#é\x07Q7"),
    count=st.integers(300, 3_000),
)
def test_no_message_has_more_than_200_characters_of_a_file(begin: bytes, character: str, count: int) -> None:
    content = begin + (character * count).encode() + b"\n" + b"1,2,3\n"
    try:
        messages = [rejected.reason for chunk in read(content) for rejected in chunk.rejected]
    except DatasetError as error:
        messages = [str(error)]
    shown = repr(character)[1:-1]
    for message in messages:
        assert message.count(shown) <= 200
        assert len(message) < 1_200
