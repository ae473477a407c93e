"""Recognises the form of a file from its beginning, before any row is read."""

from dataclasses import dataclass, field
from typing import Self

from fraudstream.dataset.columns.forms import Form, detect_form
from fraudstream.dataset.columns.notation import Notation
from fraudstream.dataset.columns.values import MONEY
from fraudstream.dataset.lines import Checked, LineReader
from fraudstream.dataset.source.formats import refuse_other_formats
from fraudstream.dataset.source.source import Source
from fraudstream.dataset.source.stream import Stream
from fraudstream.errors import DatasetError, WrongFormat

#: Number of unpacked bytes that are read: about 14,000 rows.
HEAD_BYTES = 1 << 20
_HEADER_BYTES = 64 << 10
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Head:
    """A file's form, the byte offset of its first row (`first`), and the notation of the numbers in its first rows."""

    uri: str
    form: Form
    first: int
    notation: Notation = field(default_factory=Notation)

    @classmethod
    def of(cls, source: Source) -> Self:
        """Reads the beginning of a source.

        :raises WrongFormat: it is not CSV with commas in UTF-8, or a spreadsheet has rounded its numbers
        :raises UnknownHeader: its header matches no known form
        :raises DatasetError: it is empty, or can't be unpacked
        """
        stream = source.stream()
        content = _beginning(stream)
        if not content:
            raise DatasetError(f"{source.uri} is empty: found 0 bytes in its {source.packing}, expected rows")
        refuse_other_formats(content, source.uri, source.packing, stream.member)
        line, newline, rows = content.partition(b"\n")
        text = line[:_HEADER_BYTES].removeprefix(_BOM).removesuffix(b"\r").decode(errors="backslashreplace")
        head = cls(source.uri, detect_form(text, source.uri), len(line) + len(newline))
        if len(content) >= HEAD_BYTES:
            rows = rows[: rows.rfind(b"\n") + 1]
        if rows:
            count = rows.count(b"\n") + (not rows.endswith(b"\n"))
            head._add(head.notation, LineReader(head.form).check(rows, count), 2)
            head._refuse(head.notation, Notation())
        return head

    def refuse_rounded(self, lines: bytes, checked: Checked, first_line: int) -> None:
        """Checks later lines for rounded numbers, if any number has a + in its exponent, which Java does not write.

        :param first_line: the line number of the first of `lines`
        :raises WrongFormat: a spreadsheet has rounded the numbers
        """
        if b"+" in lines and (b"E+" in lines or b"e+" in lines):  # the search for a single byte is much faster
            found = Notation()
            self._add(found, checked, first_line)
            self._refuse(found, self.notation)

    def _add(self, notation: Notation, checked: Checked, first_line: int) -> None:
        for column, texts in checked.texts.items():
            if column in MONEY:
                notation.add(self.form.name_of(column), texts, checked.whole + first_line)

    def _refuse(self, notation: Notation, other: Notation) -> None:
        if rounded := notation.rounded([other]):
            first = rounded[0]
            raise WrongFormat(
                f"{self.uri}: digits are missing: found {len(rounded):,} like {first.text[:40]}, the first in line "
                f"{first.line:,}, column {first.column}, expected all digits to the cents, like 27182818.28 or "
                f"2.718281828E7. A spreadsheet rounds a file's numbers so when it saves it: take the original file. "
                f"R writes all digits after options(scipen = 999). None of these rows was sent"
            )


def _beginning(stream: Stream) -> bytes:
    content = b""
    while len(content) < HEAD_BYTES and (block := stream.read(HEAD_BYTES - len(content))):
        content += block
    return content
