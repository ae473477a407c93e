"""Every error that fraudstream raises on purpose.

::

    FraudstreamError
    ├── SettingsError              a setting, connection or parameter is unusable; retrying can't help
    ├── DatasetError               the source file can't be read as PaySim
    │   ├── DatasetNotFound        no such file, object or bucket
    │   ├── WrongFormat            it is not CSV, or its numbers were rounded
    │   ├── UnknownHeader          the columns are of no known form
    │   └── TooManyRejected        more rows failed their checks than `max_rejected_share` allows
    ├── KafkaError                 a request to a broker, topic or the schema registry failed
    │   ├── KafkaUnavailable       may pass: retry
    │   │   └── AnswerUnknown      an answer was sent and not acknowledged: it may be in the topic; retry is harmless
    │   ├── ProducerFenced         a newer producer of the same source continues; retrying would fence that one
    │   ├── KafkaRefused           login, certificate, protocol or ACL is wrong: an operator must change it
    │   ├── TopicChanged           a topic isn't the one that was read before, or lost records: see docs/restore.md
    │   ├── TopicsDiffer           topics that exist aren't as the pipeline needs them
    │   ├── SchemaRegistryError    may pass: retry
    │   ├── TooManyDeadLetters     more records are invalid than kafka_max_dead_letter_share allows
    │   └── RecordError            one record is invalid: it becomes a dead letter
    ├── LakeError                  a request for an object or the bucket failed
    │   ├── LakeUnavailable        may pass: retry
    │   │   └── Overtaken          someone else changed a table first: start over
    │   ├── QueryRefused           SQL that can't be run on the lake; retrying can't help
    │   ├── PartitionLost          another reader owns the partition now: retry with what is left
    │   └── ProofFailed            compaction or audit found rows missing, doubled or different
    ├── MailError                  the SMTP server can't be used at all; temporary: retry
    ├── DirectoryUnavailable       the customer directory doesn't answer; may pass: retry
    ├── MachineError               an instance wasn't started or stopped; may pass: retry
    ├── RunNotOpened               Airflow didn't open a DAG run; may pass: retry
    ├── LoginRefused               a Google account may not log in to Airflow
    └── ConfirmationError
        ├── DecisionRefused        a staff decision is incomplete; the message says what is missing
        ├── LinkError              a token is forged, truncated, expired or of another key
        │   └── LinkExpired        made by us, but its time is over
        └── UnknownCase            no case has this id

Each message says which connection, setting or record, what was found, what was expected, what to do.
`retryable` says whether the same call may succeed later without a change by an operator.
"""


class FraudstreamError(Exception):
    """Root of every error raised on purpose here."""

    retryable = False


class SettingsError(FraudstreamError):
    """A setting, connection or parameter is missing or unusable."""


class DatasetError(FraudstreamError):
    """The source can't be read as a PaySim file."""


class DatasetNotFound(DatasetError):
    """No such file, object or bucket."""


class WrongFormat(DatasetError):
    """The content is not CSV with commas, or its numbers have lost digits; nothing was sent."""


class UnknownHeader(DatasetError):
    """The header names columns of no known form; nothing was sent."""


class TooManyRejected(DatasetError):
    """More rows failed their checks than the run allows."""


class KafkaError(FraudstreamError):
    """A request to a broker, a topic or the registry failed."""


class KafkaUnavailable(KafkaError):
    """The brokers don't answer, or too few of them do."""

    retryable = True


class AnswerUnknown(KafkaUnavailable):
    """An answer was sent, but the brokers didn't acknowledge it in time: it may or may not be in the topic."""


class KafkaRefused(KafkaError):
    """The brokers refuse this client until an operator changes its login, certificate, protocol or ACLs."""


class ProducerFenced(KafkaError):
    """A newer producer of the same source took over. Not to be retried: a retry would fence the newer one in turn."""


class TopicChanged(KafkaError):
    """A topic was recreated, restored or truncated: known offsets now point to other records, or to none."""

    def __init__(self, topic: str, what: str) -> None:
        super().__init__(
            f"{what}. See docs/restore.md: stop the consumers of {topic}; then `python -m fraudstream.lake rebase "
            f"{topic}` says what it would do, and does it with --yes"
        )


class TopicsDiffer(KafkaError):
    """Topics that exist aren't as the pipeline needs them; the message has the commands that repair them."""


class SchemaRegistryError(KafkaError):
    """The schema registry doesn't answer or refuses a schema."""

    retryable = True


class TooManyDeadLetters(KafkaError):
    """More records are invalid than is likely: a setting may be wrong, and nothing more becomes a dead letter."""


class RecordError(KafkaError):
    """One record is invalid; names its topic, partition and offset."""


class LakeError(FraudstreamError):
    """A request for an object or the bucket failed."""


class LakeUnavailable(LakeError):
    """The object store doesn't answer or asks to come back later."""

    retryable = True


class Overtaken(LakeUnavailable):
    """Someone else committed to a table first: start over."""


class QueryRefused(LakeError):
    """SQL that is invalid, changes data, or reads anything but the lake's views."""


class PartitionLost(LakeError):
    """Another reader moved the progress of a topic-partition: join the group again, with the remaining partitions."""

    retryable = True


class ProofFailed(LakeError):
    """Rows are missing, doubled or different between two sides that must agree."""


class MailError(FraudstreamError):
    """The SMTP server can't be used at all."""

    retryable = True


class DirectoryUnavailable(FraudstreamError):
    """The customer directory doesn't answer."""

    retryable = True


class MachineError(FraudstreamError):
    """Compute Engine didn't start or stop an instance."""

    retryable = True


class RunNotOpened(FraudstreamError):
    """Airflow didn't open a DAG run; the next attempt tries again with the same run id."""

    retryable = True


class LoginRefused(FraudstreamError):
    """A Google account may not log in to Airflow; the API server's log has the reason, the browser does not."""


class ConfirmationError(FraudstreamError):
    """A confirmation link or case can't be used."""


class DecisionRefused(ConfirmationError):
    """A staff decision has an unknown outcome, no name or no reason, or the user may not confirm it."""


class LinkError(ConfirmationError):
    """A token is forged, truncated, expired or signed by no current key."""


class LinkExpired(LinkError):
    """A token of ours whose time is over."""


class UnknownCase(ConfirmationError):
    """No case has this id."""
