"""Files of both forms as Hypothesis strategies: any column order, line breaks, quotes, compression, invalid lines."""

import gzip
from dataclasses import dataclass
from typing import Any

from fraudstream.dataset.columns.forms import PAYSIM, RAW_LOG, RESTAMPED
from fraudstream.dataset.columns.values import FLAGS, MONEY, TYPES
from hypothesis import strategies as st

NAMES = st.text("AZaz09_-CM", min_size=1, max_size=12) | st.just("C" * 64)
MINOR_UNITS = st.integers(0, 10**17 - 1)
#: Stands for a blank line: it is neither a row nor rejected.
BLANK: dict[str, Any] = {}


@dataclass(frozen=True)
class PaySimFile:
    """`stored` is the file's content, `content` the same uncompressed; `lines` are its data lines with line breaks.

    `expected` has the values of each line by the schema's names (money in minor units, `timestamp` and
    `idTransaction` only of the re-stamped form), None for a line that must be rejected, BLANK for a blank line.
    """

    stored: bytes
    content: bytes
    lines: list[bytes]
    expected: list[dict[str, Any] | None]

    @property
    def rows(self) -> list[tuple[int, dict[str, Any] | None]]:
        """Index in `lines` and values of all lines that aren't blank; their order is that of row numbers."""
        return [(index, values) for index, values in enumerate(self.expected) if values is not BLANK]


def java(minor: int) -> str:
    """An amount as Java's Double.toString writes it, from ten million on with an exponent."""
    digits = str(minor).zfill(3)
    if minor < 10**9:
        return f"{digits[:-2]}.{digits[-2:].rstrip('0') or '0'}"
    return f"{digits[0]}.{digits[1:].rstrip('0') or '0'}E{len(digits) - 3}"


@st.composite
def decimals(draw: st.DrawFn, minor: int) -> str:
    """Ways to write an amount."""
    whole, cents = divmod(minor, 100)
    texts = [f"{whole}.{cents:02d}", f"{whole}.{cents:02d}000", java(minor)]
    if cents % 10 == 0:
        texts.append(f"{whole}.{cents // 10}")
    if cents == 0:
        texts.append(str(whole))
    if whole < 10**9:
        texts.append(f"{whole}.{cents:02d}000000000003")
    return draw(st.sampled_from(texts))


@st.composite
def fields(draw: st.DrawFn, column: str | None) -> tuple[str, Any]:
    """Texts of a column, each with its value."""
    if column is None:
        return draw(st.sampled_from(["0", "1", ""])), None
    if column in MONEY:
        minor = draw(MINOR_UNITS)
        return draw(decimals(minor)), minor
    if column in FLAGS:
        flag = draw(st.integers(0, 1))
        return draw(st.sampled_from([str(flag), f"{flag}.0", str(bool(flag)), str(bool(flag)).upper()])), flag
    if column == "step":
        step = draw(st.integers(0, 999_999))
        return draw(st.sampled_from([str(step), f"{step}.0"])), step
    if column == "timestamp":
        moment = draw(st.datetimes()).replace(microsecond=0)
        moment = moment.replace(year=1971 + moment.year % 229, day=min(moment.day, 28))
        return moment.isoformat(draw(st.sampled_from(["T", " "]))), moment
    name = draw(st.sampled_from(TYPES) if column == "type" else NAMES)
    return name, name


BAD_LINES = st.one_of(
    st.just("1,PAYMENT,9839.64,C1,170136.0"),
    st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=60).filter(
        lambda text: text.strip(' \t\r\n,;"')
    ),
    st.just('1,PAYMENT,9839.64,"C1,170136.0,160296.36,M1,0.0,0.0,0,0'),
    st.just("-1,PAYMENT,-9839.64,C1,170136.0,160296.365,M1,0.0,0.0,0,0"),
    st.just("1,CHEQUE,9839.64,C1,170136.0,160296.36,M1,1x3,0.0,0,2"),
)
BLANK_LINES = st.sampled_from(["", "  ", ",,,,,,,,,,", ";;", "\t"])


@st.composite
def paysim_files(draw: st.DrawFn) -> PaySimFile:
    names: dict[str, Any] = draw(st.sampled_from([PAYSIM, RESTAMPED, RAW_LOG]))
    header = draw(st.permutations(list(names)))
    shown = draw(st.sampled_from([str, str.lower, str.upper]))
    comma = draw(st.sampled_from([",", ", "]))
    line_break = draw(st.sampled_from(["\n", "\r\n"]))
    lines: list[str] = []
    expected: list[dict[str, Any] | None] = []
    for _ in range(draw(st.integers(0, 8))):
        kind = draw(st.integers(0, 9))
        if kind < 3:
            lines.append(draw(BAD_LINES if kind else BLANK_LINES))
            expected.append(None if kind else BLANK)
            continue
        row = {name: draw(fields(names[name])) for name in header}
        if "idTransaction" in row:
            row["idTransaction"] = (f"T-{len(lines)}",) * 2  # a repeated id is rejected, see test_seen_ids.py
        quote = '"' if draw(st.booleans()) else ""
        lines.append(comma.join(f"{quote}{row[name][0]}{quote}" for name in header))
        expected.append({names[name]: row[name][1] for name in header if names[name]})
    data = [(line + line_break).encode() for line in lines]
    if data and draw(st.booleans()):
        data[-1] = data[-1].removesuffix(line_break.encode())
        if not data[-1]:
            data.pop()
            expected.pop()
    bom = draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
    content = bom + (comma.join(map(shown, header)) + line_break).encode() + b"".join(data)
    stored = gzip.compress(content) if draw(st.booleans()) else content
    return PaySimFile(stored, content, data, expected)
