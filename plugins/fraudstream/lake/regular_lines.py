"""The fast way to read JSON lines that the pipeline itself wrote: no JSON parser, no float.

Such lines have the same fields in the same order, no space between them, and no escape in any text. Split at their
commas they are a table whose columns begin with ``"name":``. Whether lines are like that is checked on every byte
that matters; for those that aren't, the caller has a JSON parser.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv


def regular_rows(lines: bytes, schema: pa.Schema, wanted: pa.Schema) -> pa.Table | None:
    """Columns `wanted` of lines with the fields of `schema`; None: the lines have to be parsed as JSON.

    What comes back is what a JSON parser would make of the lines, since:

    1. there is no backslash, so a quote always begins or ends a text,
    2. each line has as many commas as there are fields, less one, and each part begins with the name of its field,
    3. each part of a text ends with a quote, and there are no more quotes than that takes: none within a text
    """
    octets = np.frombuffer(lines, np.uint8)
    rows = int(np.count_nonzero(octets == ord("\n")))
    texts = sum(map(_is_text, schema))
    # 1. no backslash; 3. no quote too many
    if b"\\" in lines or int(np.count_nonzero(octets == ord('"'))) != rows * 2 * (len(schema) + texts):
        return None
    try:
        # 2. as many parts as fields; Arrow refuses lines with more or fewer
        split = pyarrow.csv.read_csv(
            pa.BufferReader(lines),
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False, column_names=schema.names, block_size=len(lines) + 1
            ),
            parse_options=pyarrow.csv.ParseOptions(quote_char=False, escape_char=False, ignore_empty_lines=False),
            convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(schema.names, pa.binary())),
        )
        if len(split) != rows:
            return None
        parts = [_Part(schema, place) for place in range(len(schema))]
        # 2. the names, 3. the quotes at the end
        if not all(part.fits(column) for part, column in zip(parts, split.columns, strict=True)):
            return None
        places = [schema.get_field_index(name) for name in wanted.names]
        return pa.table([parts[place].values(split.column(place), len(lines)) for place in places], schema=wanted)
    except pa.ArrowInvalid:
        return None


class _Part:
    """What lies between two commas: the field's name, and its value."""

    def __init__(self, schema: pa.Schema, place: int) -> None:
        field = schema.field(place)
        self._type = field.type
        self._is_text = _is_text(field)
        quote = '"' if self._is_text else ""
        self._before = (("{" if place == 0 else "") + f'"{field.name}":{quote}').encode()
        self._after = (quote + ("}" if place == len(schema) - 1 else "")).encode()

    def fits(self, parts: pa.ChunkedArray) -> bool:
        """Whether all parts begin and end as they have to."""
        return bool(
            pc.all(pc.starts_with(parts, self._before)).as_py() and pc.all(pc.ends_with(parts, self._after)).as_py()
        )

    def values(self, parts: pa.ChunkedArray, longest: int) -> pa.ChunkedArray:
        """The values with the field's type; a number that is null in JSON is null."""
        end = -len(self._after) if self._after else longest
        values = pc.binary_slice(parts, len(self._before), end)
        if not self._is_text and pc.any(nulls := pc.equal(values, b"null")).as_py():
            values = pc.if_else(nulls, None, values)
        texts = values.cast(pa.string())
        return texts if self._type == pa.string() else texts.cast(self._type)


def _is_text(field: pa.Field) -> bool:
    return bool(pa.types.is_string(field.type) or pa.types.is_timestamp(field.type))
