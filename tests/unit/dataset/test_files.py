"""Files that users have: each is read with exactly its rows, or refused by name before anything is produced."""

import shutil
from pathlib import Path

import pytest
from fraudstream.dataset import Position, open_source, read_chunks
from fraudstream.dataset.head import Head
from fraudstream.errors import DatasetError, UnknownHeader, WrongFormat

from tests.unit.dataset.memory_file import rejected_of, rows_of
from tests.unit.dataset.source.source_behaviour import START_DATE

FILES = Path(__file__).parent / "files"
READ = {
    "01-java-scientific.csv": (200, 7, "PaySim", "Double.toString"),
    "03-simulator-rawlog.csv": (20, 1, "simulator's log", "plain"),
    "05c-kaggle-archive.zip": (200, 4, "PaySim", "plain"),
    "06a-pandas-index.csv": (20, 1, "PaySim", "plain"),
    "06d-upper-case-header.csv": (20, 1, "PaySim", "plain"),
    "06e-spaces-after-comma.csv": (20, 1, "PaySim", "plain"),
    "06f-true-false.csv": (20, 1, "PaySim", "plain"),
    "07a-trailing-blank.csv": (50, 1, "PaySim", "plain"),
    "08a-two-members.csv.gz": (200, 4, "PaySim", "plain"),
}
REFUSED = {
    "02-excel-saved.csv": (
        WrongFormat,
        r"digits are missing: found 3 like 2\.35E\+07, the first in line 7, column newbalanceDest",
    ),
    "05a-kaggle-login-page.csv": (WrongFormat, "is a web page, not the data"),
    "05b-lfs-pointer.csv": (WrongFormat, "is a Git LFS pointer, not the data itself: `git lfs pull`"),
    "05e-powershell-utf16.csv": (WrongFormat, "is text in UTF-16;.* iconv -f UTF-16 -t UTF-8 < "),
    "05f-semicolons.csv": (WrongFormat, r"is a CSV with semicolons and decimal commas;.* sed 's/,/\./g; s/;/,/g' < "),
    "06b-missing-column.csv": (UnknownHeader, "nearest to the form PaySim: missing: newbalanceOrig"),
    "08c-trailing-garbage.csv.gz": (DatasetError, "has bytes behind the end of its gzip that are not gzip"),
    "08e-bzip2.csv.bz2": (WrongFormat, "is a bzip2 file;.* bzip2 -d < "),
}


def test_each_file_has_its_right_result_here() -> None:
    assert {path.name for path in FILES.iterdir()} == READ.keys() | REFUSED.keys()


@pytest.mark.parametrize("name", READ)
def test_a_file_is_read_whole(name: str) -> None:
    source = open_source(str(FILES / name), None)
    chunks = list(read_chunks(source, Position(0, 0), start_date=START_DATE))
    rows = rows_of(chunks)
    head = Head.of(source)
    assert rejected_of(chunks) == []
    assert (len(rows), sum(row["isFraud"] for row in rows), head.form.name, head.notation.name) == READ[name]


def test_each_amount_of_the_published_notation_is_exact() -> None:
    path = FILES / "01-java-scientific.csv"
    first = rows_of(list(read_chunks(open_source(str(path), None), Position(0, 0), start_date=START_DATE)))[0]
    assert [first[name] for name in ("amount", "oldbalanceOrg", "newbalanceDest")] == [
        100,
        2_718_281_828,
        2_718_281_928,
    ]


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_is_refused_by_name_before_its_first_row(name: str) -> None:
    error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        read_chunks(open_source(str(FILES / name), None), Position(0, 0), start_date=START_DATE)


def test_a_file_under_another_path_is_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(FILES / "01-java-scientific.csv", tmp_path / "paysim.csv")
    shutil.copy(FILES / "01-java-scientific.csv", tmp_path / "copy.csv")
    monkeypatch.chdir(tmp_path)
    paths = ["paysim.csv", "./paysim.csv", str(tmp_path / "paysim.csv"), "copy.csv"]
    assert len({open_source(path, None).identity for path in paths}) == 1
    Path("copy.csv").write_bytes(Path("copy.csv").read_bytes().replace(b",1,0\n", b",0,0\n", 1))
    assert open_source("copy.csv", None).identity != open_source("paysim.csv", None).identity
