import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fraudstream.dataset.__main__ import main

from tests.unit.dataset.source.source_behaviour import CONTENT, HEADER

GOOD = CONTENT.splitlines(keepends=True)[1]


def test_what_generate_writes_check_finds_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "paysim.csv.gz")
    assert main(["generate", "--rows", "1000", "--seed", "1", "--frauds", "40", "--out", out]) == 0
    assert "1,000 rows (CASH_IN " in (summary := capsys.readouterr().out)
    assert "40 frauds, 0 flagged" in summary
    assert main(["check", out]) == 0
    assert f"{out}: 1,000 rows, 40 frauds, 0 rejected; " in capsys.readouterr().out


def test_check_shows_the_most_frequent_reasons_and_exits_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "paysim.csv"
    bad = [b"1x%d" % number for number in range(12)]
    other = [GOOD.replace(b"PAYMENT", b"GIFT")] * 20
    path.write_bytes(HEADER + GOOD + b"".join([*(GOOD.replace(b"9839.64", text) for text in bad), *other, b"\n"]))
    assert main(["check", str(path)]) == 1
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "1 rows, 0 frauds, 32 rejected" in lines[0]
    assert {"packing none", "form PaySim", "notation plain", "rows 1", "rejected 32", "blank 1"} <= set(lines)
    assert lines[-3] == "rejected reason first line found there"
    assert lines[-2].startswith("20 column type: expected one of CASH_IN")
    assert lines[-2].endswith("15 'GIFT'")
    assert lines[-1].startswith("12 column amount: expected a decimal")
    assert lines[-1].endswith("3 '1x0'")


def test_check_says_the_same_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "paysim.csv"
    path.write_bytes(HEADER + GOOD.replace(b"9839.64", b"1.0E7") + b"rubbish\n")
    assert main(["check", "--json", str(path)]) == 1
    found = json.loads(capsys.readouterr().out)
    (reason,) = found.pop("reasons")
    assert reason == {"rule": reason["rule"], "rows": 1, "line": 3, "found": "1 columns"}
    figures = {"rows": 1, "frauds": 0, "rejected": 1, "blank": 0}
    about = {"file": str(path), "packing": "none", "form": "PaySim", "notation": "Double.toString"}
    assert found == about | figures


def test_check_says_as_json_why_a_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "paysim.csv"
    path.write_bytes(b"{}")
    assert main(["check", "--json", str(path)]) == 2
    found = json.loads(capsys.readouterr().out)
    assert (found["file"], found["error"]) == (str(path), "WrongFormat")
    assert "is JSON" in found["message"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file in"),
        (b"", "is empty: found 0 bytes, expected a header and rows"),
        (b"a,b\n1,2\n", "not a known header: found a,b, expected 'step,type,"),
        (gzip.compress(CONTENT)[:-9], "ends inside its gzip stream"),
    ],
    ids=["missing", "empty", "unknown header", "cut off"],
)
def test_what_can_t_be_read_is_said_and_exits_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, message: str
) -> None:
    path = tmp_path / "paysim.csv"
    if content is not None:
        path.write_bytes(content)
    assert main(["check", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert str(path) in error or str(path.parent) in error


def test_impossible_numbers_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a.csv"
    assert main(["generate", "--rows", "0", "--seed", "1", "--out", str(out)]) == 2
    assert "rows: found 0, expected at least 1" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("seed", ["-1", "x"])
def test_an_unusable_seed_is_a_usage_error(seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["generate", "--rows", "1", "--seed", seed, "--out", "a.csv"])
    assert "--seed" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["generate"], ["check"]])
def test_help_describes_each_argument(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--help"])
    assert "usage: python -m fraudstream.dataset" in capsys.readouterr().out


def test_help_says_what_the_exit_codes_mean(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["check", "--help"])
    said = capsys.readouterr().out.partition("exit codes:")[2]
    assert [line.split()[0] for line in said.strip().splitlines()] == ["0", "1", "2"]


@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii:strict"])
def test_a_name_that_the_terminal_can_t_show_is_escaped(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.csv")
    path.write_bytes(CONTENT)
    done = subprocess.run(
        [sys.executable, "-m", "fraudstream.dataset", "check", str(path)],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert rb"caf\udce9.csv: 40 rows" in done.stdout
