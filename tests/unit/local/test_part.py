"""Parts reach the supervisor as JSON; nothing of them may be lost on the way."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from local.part import AirflowHeartbeat, Answers, Exits, Listening, Part

READY = [
    Listening(port=1),
    Answers(url="http://127.0.0.1:1/x"),
    AirflowHeartbeat(url="http://127.0.0.1:1/x", component="scheduler"),
    Exits(),
    Exits(marker=Path("/there")),
]


@pytest.mark.parametrize("ready", READY, ids=repr)
def test_a_part_is_the_same_after_json(ready: Listening | Answers | AirflowHeartbeat | Exits) -> None:
    part = Part(name="a", command=["b"], env={"c": "d"}, cwd=Path("/"), ready=ready, depends_on=["e"], ports=[1])
    parts = TypeAdapter(list[Part])

    assert parts.validate_json(parts.dump_json([part])) == [part]
