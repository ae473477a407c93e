"""When a failed task is tried again: only if that can help, and a consumer only until its run's deadline."""

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk.definitions.context import Context
from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy

from fraudstream.errors import FraudstreamError
from fraudstream.orchestration.alerts import Alert


def deadline(context: Context, max_minutes: Any) -> datetime:
    """When the tasks of a consumer run end: the start of the run, not of the try, plus `max_minutes`."""
    started = context["dag_run"].start_date or datetime.now(UTC)
    return started + timedelta(minutes=float(max_minutes))


class WhatMayPass(RetryPolicy):
    """Fails a task at once on an error of ours that no retry heals; everything else is the task's own retries."""

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Airflow asks this in the task's process, with the exception that ended the try."""
        if isinstance(exception, FraudstreamError) and not exception.retryable:
            return RetryDecision.fail("no retry heals this: the message says what to change")
        return RetryDecision.default()


class UntilDeadline(WhatMayPass):
    """Also fails a consumer task whose next try would start after its run's deadline: the next run goes on.

    So a role whose target is away holds up neither the end of its run nor the other roles.
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """The delay is Airflow's exponential one, without its jitter."""
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
