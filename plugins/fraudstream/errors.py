"""The errors that fraudstream raises.

::

    FraudstreamError
    ├── SettingsError              a setting, connection or parameter is unusable; retrying can't help
    ├── DatasetError               the source file can't be read as PaySim
    │   ├── DatasetNotFound        no such file, object or bucket
    │   ├── WrongFormat            it is not CSV, or its numbers were rounded
    │   ├── UnknownHeader          the header matches no known form
    │   └── TooManyRejected        more rows failed their checks than `max_rejected_share` allows
    ├── KafkaError                 a request to a broker, topic or the schema registry failed
    │   ├── KafkaUnavailable       temporary: retry
    │   │   └── AnswerUnknown      an answer was sent but not acknowledged: it may be in the topic; a retry is harmless
    │   ├── ProducerFenced         a newer producer of the same source took over; a retry would fence the newer one
    │   ├── ProducerStopped        the producer's task was asked to end before the end of the file: retry
    │   ├── KafkaRefused           login, certificate, protocol or ACL is wrong: an operator must change it
    │   ├── TopicChanged           a topic was recreated, restored or truncated: see docs/restore.md
    │   ├── TopicsDiffer           existing topics differ from their definitions
    │   ├── SchemaRegistryError    temporary: retry
    │   ├── TooManyDeadLetters     more records are invalid than kafka_max_dead_letter_share allows
    │   └── RecordError            one record is invalid: it becomes a dead letter
    ├── LakeError                  a request for an object or the bucket failed
    │   ├── LakeUnavailable        temporary: retry
    │   │   └── Overtaken          another process committed to the table first: start over
    │   ├── QueryRefused           SQL that can't be run on the lake; retrying can't help
    │   ├── PartitionLost          another reader owns the partition now: retry with the remaining ones
    │   └── ProofFailed            compaction or audit found rows missing, doubled or different
    ├── MailError                  the SMTP server can't be used at all; temporary: retry
    ├── DirectoryUnavailable       the customer directory doesn't answer; temporary: retry
    ├── MachineError               an instance wasn't started or stopped; temporary: retry
    ├── RunNotOpened               Airflow didn't open a DAG run; temporary: retry
    ├── LoginRefused               a Google account may not log in to Airflow
    └── ConfirmationError
        ├── DecisionRefused        a staff decision is incomplete; the message says what is missing
        ├── LinkError              a token is forged, truncated, expired or signed with another key
        │   └── LinkExpired        the signature is valid, but the token has expired
        └── UnknownCase            no case has this id

Each message names the connection, setting or record, what was found, what was expected, and what to do.
`retryable` says whether the same call may succeed later without a change by an operator.
"""


class FraudstreamError(Exception):
    """Base class of all errors of fraudstream."""

    retryable = False


class SettingsError(FraudstreamError):
    """A setting, connection or parameter is missing or unusable."""


class DatasetError(FraudstreamError):
    """The source can't be read as a PaySim file."""


class DatasetNotFound(DatasetError):
    """No such file, object or bucket."""


class WrongFormat(DatasetError):
    """The content is not CSV with commas, or its numbers have lost digits.

    Nothing was sent, unless rounded numbers are found only later in the file. Then none of the rows with them was sent.
    """


class UnknownHeader(DatasetError):
    """The header matches no known form of a PaySim file. Nothing was sent."""


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
    """A newer producer of the same source took over. Do not retry: a retry would fence the newer producer."""


class ProducerStopped(KafkaError):
    """The producer's task was asked to end, as by a worker's restart, before the whole file was produced."""

    retryable = True


class TopicChanged(KafkaError):
    """A topic was recreated, restored or truncated: known offsets now point to other records, or to none."""

    def __init__(self, topic: str, what: str) -> None:
        super().__init__(
            f"{what}. See docs/restore.md: stop the consumers of {topic}; then `python -m fraudstream.lake rebase "
            f"{topic}` says what it would do, and does it with --yes"
        )


class TopicsDiffer(KafkaError):
    """Existing topics differ from their definitions. The message has the commands that repair them."""


class SchemaRegistryError(KafkaError):
    """The schema registry doesn't answer or refuses a schema."""

    retryable = True


class TooManyDeadLetters(KafkaError):
    """Too large a share of the records is invalid, so a setting may be wrong. No more dead letters are sent."""


class RecordError(KafkaError):
    """One record is invalid. The message names its topic, partition and offset."""


class LakeError(FraudstreamError):
    """A request for an object or the bucket failed."""


class LakeUnavailable(LakeError):
    """The object store doesn't answer, or asks the client to retry later."""

    retryable = True


class Overtaken(LakeUnavailable):
    """Another process committed to the table first: start over."""


class QueryRefused(LakeError):
    """SQL that is invalid, changes data, or reads anything but the lake's views."""


class PartitionLost(LakeError):
    """Another reader moved the progress of a topic-partition. Rejoin the group and read the remaining partitions."""

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
    """Airflow didn't open a DAG run. The next attempt uses the same run id."""

    retryable = True


class LoginRefused(FraudstreamError):
    """A Google account may not log in to Airflow. The API server logs the reason; the browser does not show it."""


class ConfirmationError(FraudstreamError):
    """A confirmation link or case can't be used."""


class DecisionRefused(ConfirmationError):
    """A staff decision has an unknown outcome, no name or no reason, or the user may not confirm it."""


class LinkError(ConfirmationError):
    """A token is forged, truncated, expired or signed by no current key."""


class LinkExpired(LinkError):
    """The signature of the token is valid, but the token has expired."""


class UnknownCase(ConfirmationError):
    """No case has this id."""
