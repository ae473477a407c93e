"""Parses CSV lines into checked columns, and gives the reason for each line that is not a valid row."""

import csv
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from fraudstream.dataset.columns.forms import Form
from fraudstream.dataset.columns.values import COLUMNS

#: Replaces bytes that are not ASCII, which no valid row has, with a byte that no check accepts.
_ASCII = bytes(range(128)) + b"\x1a" * 128
_BLANK = ' \t\r\n,;"'
#: Characters that are removed around a field. Others, such as a no-break space, are part of the field.
_SPACES = " \t\n\v\f\r"
_SHOWN = 100


class Rejected(NamedTuple):
    """A line that is not a valid row.

    `line` is the 1-based line number in the file, `row` the 0-based number among the data rows. `text` is the beginning
    of the line (at most 2,000 characters, without the line break). `rule` is the rule that the line breaks, with the
    same text for all lines that break it. `found` is what the line has instead.
    """

    line: int
    row: int
    reason: str
    text: str
    rule: str
    found: str


class Checked(NamedTuple):
    """Lines as columns, named as in the schema.

    `valid` (bool) says of each line whether it is a valid row. `values` has the values of the valid lines. `whole` has
    the indexes of the lines with as many fields as the header, and `texts` has the fields of these lines.
    """

    values: dict[str, pa.Array]
    valid: np.ndarray
    texts: dict[str, pa.StringArray]
    whole: np.ndarray


class Fault(NamedTuple):
    """The reason why a line is not a valid row; see :class:`Rejected` for `rule` and `found`."""

    rule: str
    found: str
    reason: str

    @classmethod
    def of(cls, where: str, found: str, expected: str) -> "Fault":
        """Makes a fault from what was found in a place, and what was expected there."""
        return cls(f"{where}: expected {expected}", found, f"{where}: found {found}, expected {expected}")


class LineReader:
    """Parses lines of one form. A field may be quoted, and may have spaces around it."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._names = [str(place) for place in range(len(form.columns))]
        self._places = {column: place for place, column in enumerate(form.columns) if column is not None}

    def check(self, lines: bytes, count: int) -> Checked:
        """Parses and checks `count` complete lines."""
        fields, whole = self._fields(lines, count)
        texts = {column: fields[place] for column, place in self._places.items()}
        read = {column: COLUMNS[column].read(text) for column, text in texts.items()}
        sound = np.ones(len(whole), bool)
        for values in read.values():
            if values.null_count:
                sound &= values.is_valid().to_numpy(zero_copy_only=False)
        if not sound.all():
            read = {column: values.filter(pa.array(sound)) for column, values in read.items()}
        valid = np.zeros(count, bool)
        valid[whole[sound]] = True
        return Checked(read, valid, texts, whole)

    def fault(self, line: str) -> Fault | None:
        """Returns the first fault of a line that failed :meth:`check`; None: the line is blank."""
        text = line.rstrip("\r\n")
        if not text.strip(_BLANK):
            return None
        header = self._form.header
        if len(text) > (longest := csv.field_size_limit()):
            return Fault.of("line", f"{len(text):,} characters", f"at most {longest:,}")
        try:
            fields = next(csv.reader([text], strict=True, skipinitialspace=True))
        except csv.Error as error:
            return Fault.of("no CSV row", str(error), "quotes in pairs, and no line break between them")
        if len(fields) != len(header):
            found, expected = f"{len(fields)} columns", f"expected {len(header)}"
            return Fault(f"columns: {expected}", found, f"found {found}, {expected}: {','.join(header)}")
        for column, place in self._places.items():
            found = fields[place].strip(_SPACES)
            if self._read_one(column, found).null_count:
                shown = repr(found[:_SHOWN])[: _SHOWN + 2]
                return Fault.of(f"column {header[place]}", shown, COLUMNS[column].expected)
        return Fault.of("quotes", "a comma between them", "a comma between columns only")

    @staticmethod
    def _read_one(column: str, found: str) -> pa.Array:
        text = found.encode(errors="replace").translate(_ASCII).decode()
        return COLUMNS[column].read(pa.array([text]))

    def _fields(self, lines: bytes, count: int) -> tuple[list[pa.StringArray], np.ndarray]:
        """Returns the columns of the lines with as many fields as the header, and the indexes of these lines."""
        misshapen: list[int] = []

        def skip(row: arrow_csv.InvalidRow) -> str:
            misshapen.append(row.number - 1)
            return "skip"

        text = lines if lines.isascii() else lines.translate(_ASCII)
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b" ")
        table = arrow_csv.read_csv(
            pa.BufferReader(text),
            read_options=arrow_csv.ReadOptions(column_names=self._names, use_threads=False, block_size=len(text) + 1),
            # Quotes are removed below: with quotes enabled, a missing closing quote would make the parser skip lines.
            parse_options=arrow_csv.ParseOptions(quote_char=False, ignore_empty_lines=False, invalid_row_handler=skip),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(self._names, pa.string()), null_values=[], check_utf8=False
            ),
        )
        columns = [_one_piece(column) for column in table.columns]
        whole = np.delete(np.arange(count), misshapen) if misshapen else np.arange(count)
        return list(_bare(columns, text)), whole


def _one_piece(column: pa.ChunkedArray) -> pa.StringArray:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _bare(columns: list[pa.StringArray], text: bytes) -> Iterator[pa.StringArray]:
    """Yields the columns without spaces and quotes around the fields. Skips the work if `text` has none of them."""
    spaces, quotes = any(space in text for space in (b" ", b"\t", b"\v", b"\f")), b'"' in text
    for column in columns:
        bare = pc.ascii_trim_whitespace(column) if spaces else column
        if quotes:
            bare = pc.replace_substring_regex(bare, r'^"([^"]*)"$', r"\1")
            bare = pc.ascii_trim_whitespace(bare) if spaces else bare
        yield bare
