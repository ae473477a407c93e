"""A field that is added to the schema of a folder's topic after rows were written, as an upgrade does."""

import sys

import pyarrow as pa
import pytest
from fraudstream.lake.stream import lines
from fraudstream.lake.table import schemas

from tests.unit.lake.filled_day import FOLDER
from tests.unit.lake.rows import batch


def add_field(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the folder's lines and rows have an optional text ``channel``."""
    old = schemas.json_schema(FOLDER)
    wider = old.insert(old.get_field_index("topic"), pa.field("channel", pa.string()))
    originals = {"json_schema": schemas.json_schema, "rows_schema": schemas.rows_schema}
    for name, module in list(sys.modules.items()):
        for function, original in originals.items():
            if name.startswith("fraudstream.lake.") and getattr(module, function, None) is original:
                monkeypatch.setattr(
                    module, function, lambda folder, of=original: wider if folder == FOLDER else of(folder)
                )


def with_channel(start: int, end: int, timestamps: list[int]) -> bytes:
    """JSON lines of records that have the field."""
    body = bytes(lines.transaction(batch(range(start, end), timestamps=timestamps)))
    return body.replace(b',"topic":', b',"channel":"app","topic":')
