"""Compares topics, dead letters, lake, mail log, cases, views and site at the end, each with the topics."""

import gzip
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
from confluent_kafka import Message
from fraudstream.cases.links.signed import Links
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.dead_letters.letters import DeadLetter
from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION
from fraudstream.kafka.topic.definitions import dead_letter_topic
from fraudstream.kafka.topic.topic_reader import TopicReader
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.store.objects import unpacked
from fraudstream.lake.stream.names import FOLDERS
from fraudstream.lake.table.schemas import rows_of_lines
from fraudstream.settings import Settings

from tests.fuzz.values import Value

#: The topics with consumers in this test.
READ = (NON_FRAUD_TRANSACTION, FRAUD_TRANSACTION, FRAUD_CONFIRMATION)

Place = tuple[str, int, int]


def answers(url: str) -> bool:
    """Whether a page answers."""
    try:
        return httpx.get(url, timeout=10).status_code == 200
    except httpx.HTTPError:
        return False


def check_topic(
    settings: Settings, topic: str, written: dict[Place, Value], cases: Path, views: Any
) -> tuple[list[str], int]:
    """The problems of a topic's records, and the number of its dead letters."""
    with TopicReader(settings, topic) as reader:
        messages = list(reader.read())
    decoded = Codec.for_topic(topic, settings).decode_messages(messages)
    ids = dict(zip(map(_place, decoded.valid), decoded.records, strict=True))
    invalid = {_place(message): message for message, _ in decoded.invalid}
    problems = [
        f"{topic} {place} of kind {value.kind} is {'' if place in ids else 'in'}valid"
        for place, value in written.items()
        if place[0] == topic and value.valid is not None and (place in ids) is not value.valid
    ]
    if topic not in READ:
        return problems, 0
    with TopicReader(settings, dead_letter_topic(topic)) as reader:
        letters = [DeadLetter.of(message) for message in reader.read()]
    problems += _each_once(
        f"dead letters of {topic}", invalid, [(*letter.partition, letter.offset) for letter in letters]
    )
    for letter in letters:
        message = invalid.get((*letter.partition, letter.offset))
        if message is not None and (letter.value, letter.key, list(letter.headers), letter.timestamp) != (
            message.value(),
            message.key(),
            message.headers(),
            message.timestamp()[1],
        ):
            problems.append(f"the dead letter of {letter} is another record")
    expected = _first_of_each_case(ids) if topic == FRAUD_CONFIRMATION else list(ids)
    store = Store.connect(settings.lake_bucket)
    for folder in FOLDERS:
        lines = [line for line in _lines(store, folder) if line["topic"] == topic]
        if lines or folder == "email_confirmation":
            found = [(line["topic"], line["partition"], line["offset"]) for line in lines]
            problems += _each_once(f"records of {topic} in {folder}", expected, found)
    for folder in FOLDERS:
        rows = sum(
            rows_of_lines(folder, info.name, unpacked(info.name, store.download(info) or b""), None).num_rows
            for info in store.list(f"{folder}/")
        )
        if rows != sum(1 for _ in _lines(store, folder)):
            problems.append(f"readers find {rows} rows in {folder}")
    if topic == FRAUD_TRANSACTION:
        runs = {line["run"]: line["cases"] for line in map(json.loads, cases.read_text().splitlines())}
        opened = [case for of_run in runs.values() for case in of_run]
        problems += _each_once("cases", [record["idTransaction"] for record in ids.values()], opened)
    if topic in {FRAUD_TRANSACTION, FRAUD_CONFIRMATION}:
        view = views[0] if topic == FRAUD_TRANSACTION else views[1]
        unseen = [record["idTransaction"] for record in ids.values() if view.get(record["idTransaction"]) is None]
        problems += [f"{len(unseen)} cases aren't in the view of {topic}, such as {unseen[0]}"] if unseen else []
    return problems, len(letters)


def _first_of_each_case(records: dict[Place, Any]) -> list[Place]:
    """The first answer of each case, by partition."""
    first: dict[tuple[int, str], Place] = {}
    for place in sorted(records):
        first.setdefault((place[1], records[place]["idTransaction"]), place)
    return list(first.values())


def _each_once(what: str, expected: Iterable[Any], found: Iterable[Any]) -> list[str]:
    wanted, there = Counter(list(expected)), Counter(list(found))
    missing, more = wanted - there, there - wanted
    return [
        f"{sum(those.values())} {what} {kind}, such as {next(iter(those))}"
        for kind, those in (("missing", missing), ("doubled or unexpected", more))
        if those
    ]


def check_site(settings: Settings) -> list[str]:
    """Checks the page of a case that is in a topic with arbitrary records."""
    with TopicReader(settings, FRAUD_TRANSACTION) as reader:
        decoded = Codec.for_topic(FRAUD_TRANSACTION, settings).decode_messages(list(reader.read()))
    cases = decoded.records[-5:]
    links = Links(settings)
    return [
        f"the site's page of case {case['idTransaction']} isn't 200"
        for case in cases
        if not answers(links.url(case["idTransaction"], "fraud"))
    ] + ([] if cases else ["no valid case"])


def _lines(store: Store, folder: str) -> Iterator[dict[str, Any]]:
    for info in store.list(f"{folder}/"):
        data = store.download(info)
        assert data is not None, info
        yield from map(json.loads, gzip.decompress(data).splitlines())


def _place(message: Message) -> Place:
    return message.topic() or "", message.partition() or 0, message.offset() or 0
