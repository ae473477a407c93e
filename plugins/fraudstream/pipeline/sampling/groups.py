"""The consumer groups of the pipeline."""

from typing import NamedTuple

from fraudstream.kafka.records import (
    CASE_EVENT,
    FRAUD_CONFIRMATION,
    FRAUD_TRANSACTION,
    MAIL_RETRY,
    NON_FRAUD_TRANSACTION,
)


class Group(NamedTuple):
    """A consumer group: its topic, and the DAG and the task (`role`) that run its members."""

    topic: str
    role: str
    dag: str
    #: Seconds between runs of a DAG that doesn't run all the time: records may wait for that time.
    period: int = 0

    @property
    def name(self) -> str:
        """The group id."""
        return f"{self.role}-{self.topic}"


GROUPS = (
    Group(NON_FRAUD_TRANSACTION, "write_lake", "consume_non_fraud_transactions"),
    Group(NON_FRAUD_TRANSACTION, "send_mail", "consume_non_fraud_transactions"),
    Group(FRAUD_TRANSACTION, "write_lake", "consume_fraud_transactions"),
    Group(FRAUD_TRANSACTION, "send_mail", "consume_fraud_transactions"),
    Group(FRAUD_TRANSACTION, "open_cases", "consume_fraud_transactions"),
    Group(FRAUD_CONFIRMATION, "write_lake", "consume_fraud_confirmations"),
    Group(FRAUD_CONFIRMATION, "send_mail", "consume_fraud_confirmations"),
    Group(CASE_EVENT, "write_lake", "consume_case_events", 300),
    Group(MAIL_RETRY, "send_mail", "retry_mails", 300),
)
