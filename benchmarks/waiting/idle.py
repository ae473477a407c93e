"""A trigger that only waits, to measure Airflow's own cost of a trigger."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent


class IdleTrigger(BaseTrigger):
    """Waits until it is cancelled; `case` is as long as that of a real trigger."""

    def __init__(self, case: str) -> None:
        super().__init__()
        self.case = case

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments."""
        return f"{__name__}.{type(self).__qualname__}", {"case": self.case}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Never yields."""
        await asyncio.Event().wait()
        yield TriggerEvent(None)
