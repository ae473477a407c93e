"""The operator that sees to cases which nothing waits for any more."""

import asyncio
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context

from fraudstream.cases.expiry import close_expired
from fraudstream.orchestration.connections import lake
from fraudstream.settings import get_settings


class CloseExpiredCases(BaseOperator):
    """Gives cases whose time is up their outcome, NO_RESPONSE; returns their ids. See :mod:`fraudstream.cases.expiry`.

    :param look_back_days: how far before the time limit a case's record may lie
    """

    template_fields = ("look_back_days",)

    def __init__(self, *, look_back_days: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.look_back_days = look_back_days

    def execute(self, context: Context) -> list[str]:
        """:raises FraudstreamError: a topic or the lake can't be used; a retry goes on with what is left"""
        settings = get_settings()
        look_back = timedelta(days=float(self.look_back_days))
        closed = asyncio.run(close_expired(settings, lake(settings), look_back=look_back))
        self.log.info("%d cases were closed that nothing waited for any more", len(closed))
        return closed
