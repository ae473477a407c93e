"""Files of both forms as Hypothesis strategies: any column order, line break, quoting, packing, and bad lines."""

import gzip
from dataclasses import dataclass
from typing import Any

from fraudstream.dataset.forms import FLAGS, MONEY, PAYSIM, RESTAMPED, TYPES
from hypothesis import strategies as st

NAMES = st.text("AZaz09_-CM", min_size=1, max_size=12) | st.just("C" * 64)
MINOR_UNITS = st.integers(0, 10**17 - 1)


@dataclass(frozen=True)
class PaySimFile:
    """`stored` is what lies on disk, `content` the same uncompressed; `lines` are its data lines with line breaks.

    `expected` has the values of each data line by the schema's names (money in minor units, `timestamp` and
    `idTransaction` only of the re-stamped form), None for a line that must be rejected.
    """

    stored: bytes
    content: bytes
    lines: list[bytes]
    expected: list[dict[str, Any] | None]


@st.composite
def decimals(draw: st.DrawFn, minor: int) -> str:
    whole, cents = divmod(minor, 100)
    texts = [f"{whole}.{cents:02d}"]
    if cents % 10 == 0:
        texts.append(f"{whole}.{cents // 10}")
    if cents == 0:
        texts.append(str(whole))
    return draw(st.sampled_from(texts))


@st.composite
def fields(draw: st.DrawFn, column: str) -> tuple[str, Any]:
    """A valid text of a column, and the value it stands for."""
    if column in MONEY:
        minor = draw(MINOR_UNITS)
        return draw(decimals(minor)), minor
    if column in FLAGS:
        flag = draw(st.integers(0, 1))
        return draw(st.sampled_from([str(flag), f"{flag}.0"])), flag
    if column == "step":
        step = draw(st.integers(0, 999_999))
        return str(step), step
    if column == "type":
        name = draw(st.sampled_from(TYPES))
        return name, name
    if column == "timestamp":
        moment = draw(st.datetimes()).replace(microsecond=0)
        moment = moment.replace(year=1900 + moment.year % 200, day=min(moment.day, 28))
        return moment.isoformat(draw(st.sampled_from(["T", " "]))), moment
    name = draw(NAMES)
    return name, name


BAD_LINES = st.one_of(
    st.just(""),
    st.just("1,PAYMENT,9839.64,C1,170136.0"),
    st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=60),
    st.just('1,PAYMENT,9839.64,"C1,170136.0,160296.36,M1,0.0,0.0,0,0'),
    st.just("-1,PAYMENT,-9839.64,C1,170136.0,160296.365,M1,0.0,0.0,0,0"),
    st.just("1,CHEQUE,9839.64,C1,170136.0,160296.36,M1,1e3,0.0,0,2"),
)


@st.composite
def paysim_files(draw: st.DrawFn) -> PaySimFile:
    names = draw(st.sampled_from([PAYSIM, RESTAMPED]))
    header = draw(st.permutations(list(names)))
    line_break = draw(st.sampled_from(["\n", "\r\n"]))
    lines: list[str] = []
    expected: list[dict[str, Any] | None] = []
    for _ in range(draw(st.integers(0, 8))):
        if draw(st.integers(0, 4)) == 0:
            lines.append(draw(BAD_LINES))
            expected.append(None)
            continue
        row = {name: draw(fields(names[name])) for name in header}
        quote = '"' if draw(st.booleans()) else ""
        lines.append(",".join(f"{quote}{row[name][0]}{quote}" for name in header))
        expected.append({names[name]: row[name][1] for name in header})
    data = [(line + line_break).encode() for line in lines]
    if data and draw(st.booleans()):
        data[-1] = data[-1].removesuffix(line_break.encode())
        if not data[-1]:
            data.pop()
            expected.pop()
    bom = draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
    content = bom + (",".join(header) + line_break).encode() + b"".join(data)
    stored = gzip.compress(content) if draw(st.booleans()) else content
    return PaySimFile(stored, content, data, expected)
