"""The command in the message of a refused file converts it to a file that is read with the same amounts."""

import bz2
import shlex
import subprocess
from pathlib import Path

import pytest
from fraudstream.dataset import Position, open_source, read_chunks
from fraudstream.dataset.head import Head
from fraudstream.errors import WrongFormat

from tests.unit.dataset.memory_file import memory_source, read, rows_of
from tests.unit.dataset.source.source_behaviour import CONTENT, START_DATE
from tests.unit.dataset.source.test_formats import OTHERS, TABLE, zipped


@pytest.mark.parametrize(
    "name",
    [
        *("bzip2", "xz", "lzma", "tar", "gzip in gzip", "utf-16", "utf-16 le", "utf-16 be", "utf-16 be with mark"),
        *("utf-32", "semicolons", "decimal commas", "tabs", "bars", "cr", "sep="),
        *(
            "tar.gz",
            "gzip in zip",
            "cr, line feed at the end",
            "thousands",
            "row names",
            "row names, spaces",
            "aligned",
        ),
        *("semicolons in gzip", "semicolons in zstd", "semicolons in zip", "utf-16 in gzip", "bzip2 in gzip"),
        *("gzip in zstd", "whole thousands", "thousands with points", "row names, commas", "zip of a name with signs"),
    ],
)
def test_the_command_in_the_message_makes_a_file_that_is_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / "my paysim.csv"
    path.write_bytes(OTHERS[name][0])
    with pytest.raises(WrongFormat) as raised:
        Head.of(open_source(str(path), None))
    command = str(raised.value).partition("To convert it: ")[2]
    assert shlex.quote(str(path)) in command
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    converted = open_source(str(tmp_path / "converted.csv"), None)
    assert len(rows_of(list(read_chunks(converted, Position(0, 0), start_date=START_DATE)))) == 40


def test_the_command_for_an_object_reads_it_from_its_bucket() -> None:
    source = memory_source(bz2.compress(CONTENT))
    with pytest.raises(WrongFormat, match=r"gcloud storage cat gs://data/a\.csv \| bzip2 -d > converted\.csv$"):
        Head.of(type(source)(**{**source.__dict__, "uri": "gs://data/a.csv"}))


def test_the_command_for_a_zip_in_a_bucket_copies_it_first() -> None:
    source = memory_source(zipped({"my log.csv": CONTENT.replace(b",", b";")}))
    command = r"gcloud storage cp gs://data/a\.zip \. && unzip -p a\.zip 'my log\.csv' \| sed 's/;/,/g' > converted"
    with pytest.raises(WrongFormat, match=command):
        Head.of(type(source)(**{**source.__dict__, "uri": "gs://data/a.zip"}))


def test_a_second_command_doesn_t_write_over_what_the_first_has_made(tmp_path: Path) -> None:
    path = tmp_path / "excel.txt"
    path.write_bytes(TABLE.replace(",", "\t").encode("utf-16"))
    for converted in ("converted.csv", "converted2.csv"):
        with pytest.raises(WrongFormat) as raised:
            Head.of(open_source(str(path), None))
        subprocess.run(["bash", "-c", str(raised.value).partition("To convert it: ")[2]], cwd=tmp_path, check=True)
        path = tmp_path / converted
    assert len(rows_of(read(path.read_bytes()))) == 40


@pytest.mark.parametrize("name", ["whole thousands", "thousands with points"])
def test_the_command_keeps_amounts_with_thousands(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(OTHERS[name][0])
    with pytest.raises(WrongFormat) as raised:
        Head.of(open_source(str(path), None))
    subprocess.run(["bash", "-c", str(raised.value).partition("To convert it: ")[2]], cwd=tmp_path, check=True)
    amounts = [row["amount"] for row in rows_of(read((tmp_path / "converted.csv").read_bytes()))]
    assert 123_000 in amounts
    assert 123 not in amounts


def test_no_message_has_control_characters_of_a_name_in_a_zip() -> None:
    for archive in (zipped({"a\x1b[31m.csv": CONTENT.replace(b",", b";")}), zipped({"\x1b.csv": b"", "b.csv": b""})):
        with pytest.raises(WrongFormat) as raised:
            read(archive)
        assert str(raised.value).isprintable()


def test_a_first_row_with_a_comma_too_many_has_no_row_name() -> None:
    chunks = read(CONTENT.replace(b"9839.64", b"9,839.64", 1))
    assert [r.found for chunk in chunks for r in chunk.rejected] == ["12 columns"]


def test_commas_of_several_meanings_have_no_command() -> None:
    content = CONTENT.replace(b",", b";").replace(b"9839.64", b"1,234").replace(b"170136.0", b"12,5")
    with pytest.raises(WrongFormat, match=r"commas of several meanings in its numbers;.* Nothing was sent$"):
        read(content)
