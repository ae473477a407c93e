"""Compares the results of the pipeline with its input: nothing may be lost or duplicated."""

from collections import Counter, defaultdict
from collections.abc import Container, Hashable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeVar

from fraudstream.kafka.records import FRAUD_TRANSACTION, MAIL_RETRY

from tests.chaos.contents import Content
from tests.chaos.fleet import Interruption
from tests.chaos.mailbox import Delivery
from tests.chaos.poison import Place

T = TypeVar("T", bound=Hashable)

_REFUSED_FOR_GOOD = "answers 550"
_NAMED = 5
#: Seconds until the server has read what a worker sent before it was killed, or a zombie sent after it was continued.
_ON_THE_WAY = 5.0


class Check(NamedTuple):
    """One promise: what was counted, and the violations."""

    promise: str
    counted: str
    problems: list[str]

    @property
    def ok(self) -> bool:
        """Whether it is kept."""
        return not self.problems


def each_once(what: str, expected: Iterable[T], found: Iterable[T]) -> list[str]:
    """The differences of two sides that must have the same items, each once."""
    wanted, there = Counter(list(expected)), Counter(list(found))
    kinds = {
        "missing": list((wanted - there).elements()),
        "doubled": [one for one, times in there.items() if one in wanted and times > wanted[one]],
        "unexpected": [one for one in there if one not in wanted],
    }
    return [
        f"{len(those):,} {what} {kind}, such as {', '.join(map(str, those[:_NAMED]))}"
        for kind, those in kinds.items()
        if those
    ]


def check_topics(content: Content) -> Check:
    """Every row of the file is in its topic exactly once, and every rejected row is a dead letter exactly once."""
    problems = each_once("rows", content.rows, (row for _, row in content.topics))
    problems += each_once("rejected lines", content.rejected_lines, content.dead_lines)
    counted = f"{len(content.rows):,} rows, {len(content.topics):,} records, {len(content.dead_lines)} rejected lines"
    return Check("every row of the file once for a read_committed reader", counted, problems)


def check_lake(content: Content) -> Check:
    """Every record is in the lake exactly once."""
    counted = f"{len(content.topics):,} records, {len(content.lake):,} lines"
    return Check("every record once in the lake", counted, each_once("records", content.topics, content.lake))


def check_cases(content: Content) -> Check:
    """Every fraud is in exactly one DAG run; a run that was opened twice had the same cases."""
    runs: dict[str, list[str]] = {}
    problems = []
    for run, cases in content.runs:
        if runs.setdefault(run, cases) != cases:
            problems.append(f"run {run} was opened with {len(runs[run])} cases and again with {len(cases)} others")
    frauds = [row.id_transaction for row in content.rows if row.topic == FRAUD_TRANSACTION]
    problems += each_once("cases", frauds, (case for cases in runs.values() for case in cases))
    again = len(content.runs) - len(runs)
    counted = f"{len(frauds):,} frauds, {len(runs):,} runs, {again} opened a second time under the same id"
    return Check("every fraud in one DAG run", counted, problems)


def check_dead_letters(content: Content, written: Mapping[Place, bytes | None]) -> Check:
    """Every bad record is a dead letter: after a crash at most twice, and with the same content."""
    problems = each_once("bad records", written, {place for place, _ in content.dead})
    problems += [
        f"the dead letter of {place} is another record"
        for place, value in content.dead
        if place in written and value != _letter(written[place])
    ]
    again = len(content.dead) - len({place for place, _ in content.dead})
    return Check(
        "every dead letter accounted for",
        f"{len(written)} bad records, {len(content.dead)} dead letters, {again} of them sent again after a crash",
        problems,
    )


def _letter(value: bytes | None) -> bytes | None:
    """The part of a record that its dead letter has."""
    return None if value is None else value[:900_000]


def check_mail_log(
    content: Content,
    deliveries: Sequence[Delivery],
    met: Mapping[str, list[str]],
    attempts: int,
    closed: Container[str] = (),
) -> Check:
    """Each record has one log line, each mail one final log line; these agree with what the server did.

    :param closed: cases with an outcome, whose notices may be missing
    """
    lines = [line for line in content.mail_log if line["topic"] != MAIL_RETRY]
    problems = each_once(
        "mail log lines",
        ((place, row.id_transaction) for place, row in content.topics),
        (((line["topic"], line["partition"], line["offset"]), line["idTransaction"]) for line in lines),
    )
    final = [line for line in content.mail_log if line["status"] != "deferred"]
    problems += each_once(
        "final statuses", (line["messageId"] for line in lines), (line["messageId"] for line in final)
    )
    taken = {delivery.id_transaction for delivery in deliveries}
    notices = {line["messageId"] for line in lines if line["topic"] == FRAUD_TRANSACTION}
    statuses = Counter(line["status"] for line in content.mail_log)
    for line in final:
        case, status = line["idTransaction"], line["status"]
        if status == "sent" and case not in taken:
            problems.append(f"{case} is logged as sent, but the server never took it")
        if status == "failed" and _REFUSED_FOR_GOOD not in met.get(case, ()) and len(met.get(case, ())) < attempts:
            problems.append(f"{case} is logged as failed ({line['reply']}), but the server only did {met.get(case)}")
        if status not in {"sent", "failed"} and not (
            status == "over" and line["messageId"] in notices and case in closed
        ):
            problems.append(f"{case} is logged as {status}")
    counted = (
        f"{len(content.mail_log):,} log lines: {statuses['sent']:,} sent, {statuses['failed']:,} refused for good,"
        f" {statuses['deferred']:,} deferred and tried again, {statuses['over']:,} notices of cases that were over"
    )
    return Check("a mail for every transaction, none fails silently", counted, problems)


def check_doubled_mails(
    deliveries: Sequence[Delivery],
    identities: Mapping[str, set[str]],
    interruptions: Sequence[Interruption],
    topics: Mapping[str, str],
    in_flight: int,
) -> Check:
    """A mail is sent twice only if the server lost its reply, or if it was in flight at an interruption.

    :param identities: Message-IDs that the server received for each transaction
    :param topics: topic of each transaction
    :param in_flight: the largest number of mails that one worker has in flight
    """
    problems = [f"{case} has Message-IDs {found}" for case, found in identities.items() if len(found) != 1]
    every = [identity for found in identities.values() for identity in found]
    problems += each_once("Message-IDs", set(every), every)
    by_case: dict[str, list[Delivery]] = defaultdict(list)
    for delivery in sorted(deliveries, key=lambda d: d.at):
        by_case[delivery.id_transaction].append(delivery)
    lost_reply = 0
    unexplained: list[str] = []
    at_interruption: Counter[Interruption] = Counter()
    for case, taken in by_case.items():
        for before, after in pairwise(taken):
            cause = _cause(interruptions, topics[case], before.at, after.at)
            if before.reply_lost:
                lost_reply += 1
            elif cause is not None:
                at_interruption[cause] += 1
            else:
                unexplained.append(f"{case} at {before.at:.3f} and {after.at:.3f}")
    if unexplained:
        problems.append(f"{len(unexplained)} mails went twice for no reason: {', '.join(unexplained[:_NAMED])}")
    for cause, doubled in at_interruption.items():
        if doubled > in_flight:
            problems.append(f"{doubled} mails went twice at {cause}, {in_flight} can be in flight")
    at_once = f"{at_interruption.total()} in flight at {len(at_interruption)} interruptions"
    return Check(
        "doubled mails: in flight only, same Message-ID", f"{lost_reply} after a lost reply, {at_once}", problems
    )


def _cause(interruptions: Sequence[Interruption], topic: str, before: float, after: float) -> Interruption | None:
    """The first interruption, of a broker or of a worker that sends the topic's mails, around a mail and its copy."""
    victims = (f"send_mail-{topic}", f"send_mail-{MAIL_RETRY}", "kafka-")
    return min(
        (i for i in interruptions if before - _ON_THE_WAY <= i.at <= after and i.worker.startswith(victims)),
        default=None,
    )
