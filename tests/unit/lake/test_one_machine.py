import pytest
from fraudstream.lake.compaction import compiled
from fraudstream.lake.compaction.compaction import compact as compact_day

from tests.unit.lake.engine_behaviour import KEEP, Compact, EngineBehaviour


class TestOneMachine(EngineBehaviour):
    @pytest.fixture
    def compact(self) -> Compact:
        return lambda store, folder, day: compact_day(store, folder, day, keep_json=KEEP)


class TestCompiled(EngineBehaviour):
    """As for a day with many rows."""

    @pytest.fixture
    def compact(self, monkeypatch: pytest.MonkeyPatch) -> Compact:
        monkeypatch.setattr(compiled, "WORTH_ROWS", 0)
        return lambda store, folder, day: compact_day(store, folder, day, keep_json=KEEP)
