"""Parts are passed to the supervisor as JSON, without any loss."""

import asyncio
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from local.supervisor.part import AirflowHeartbeat, Answers, Exits, Listening, Logged, Part

READY = [
    Listening(port=1),
    Answers(url="http://127.0.0.1:1/x"),
    AirflowHeartbeat(url="http://127.0.0.1:1/x", component="scheduler"),
    Logged(file=Path("/there.log"), text="ready"),
    Exits(),
    Exits(marker=Path("/there")),
]


@pytest.mark.parametrize("ready", READY, ids=repr)
def test_a_part_is_the_same_after_json(ready: Listening | Answers | AirflowHeartbeat | Logged | Exits) -> None:
    part = Part(name="a", command=["b"], env={"c": "d"}, cwd=Path("/"), ready=ready, depends_on=["e"], ports=[1])
    parts = TypeAdapter(list[Part])

    assert parts.validate_json(parts.dump_json([part])) == [part]


def test_a_part_is_ready_when_its_log_says_so(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    log.write_text("one ready\n")

    assert asyncio.run(Logged(file=log, text="one ready").passes(0))
    assert not asyncio.run(Logged(file=log, text="two ready").passes(0))
