"""Retry policies: a failed task is retried only if that can help, and a consumer only until its run's deadline."""

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk.definitions.context import Context
from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy

from fraudstream.errors import FraudstreamError
from fraudstream.orchestration.alerts import Alert


def deadline(context: Context, max_minutes: Any) -> datetime:
    """The time at which a consumer's tasks end: `max_minutes` after the start of the DAG run, not of the try."""
    started = context["dag_run"].start_date or datetime.now(UTC)
    return started + timedelta(minutes=float(max_minutes))


class WhatMayPass(RetryPolicy):
    """Fails a task at once on a :class:`FraudstreamError` that isn't retryable; else the task's own retries apply."""

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Called by Airflow in the task's process with the exception that ended the try."""
        if isinstance(exception, FraudstreamError) and not exception.retryable:
            return RetryDecision.fail("no retry heals this: the message says what to change")
        return RetryDecision.default()


class UntilDeadline(WhatMayPass):
    """Also fails a consumer task whose next try would start after its run's deadline. The next run continues.

    So a role whose target doesn't answer delays neither the end of its run nor the other roles.
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Retries after Airflow's exponential delay, without its jitter."""
        decision = super().evaluate(exception, try_number, max_tries, context)
        if context is None or decision != RetryDecision.default():
            return decision
        task = context["task"]
        delay = min(task.max_retry_delay, task.retry_delay * 2 ** min(try_number - 1, 10))
        if datetime.now(UTC) + delay >= deadline(context, task.max_minutes):
            return RetryDecision.fail("the run's time is over before the next try: the next run continues")
        return RetryDecision.retry(delay)


#: Default arguments of tasks that aren't members of a consumer group.
NO_MEMBER: dict[str, Any] = {"retry_policy": WhatMayPass(), "on_failure_callback": Alert()}
