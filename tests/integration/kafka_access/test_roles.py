"""TLS, SCRAM and ACLs of docker/ and terraform/: each role can do its work and nothing else.

The error of a refused client names the user, the operation, the topic and what to change.
"""

import asyncio
import subprocess
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from fraudstream.cases.answers.publisher import AnswerPublisher
from fraudstream.cases.views.case_views import ConfirmationView
from fraudstream.dataset import open_source
from fraudstream.errors import KafkaError, KafkaRefused
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.consume.subscription import Subscription
from fraudstream.kafka.dead_letters import DeadLetters
from fraudstream.kafka.dead_letters.letters import read_dead_letters
from fraudstream.kafka.dead_letters.redrive import REDRIVEN_FROM, Redriven, redrive
from fraudstream.kafka.records import (
    FRAUD_CONFIRMATION,
    FRAUD_TRANSACTION,
    INGEST_DEAD_LETTER,
    INGEST_PROGRESS,
    NON_FRAUD_TRANSACTION,
)
from fraudstream.kafka.topic.cluster import wait_for_brokers
from fraudstream.kafka.topic.definitions import TOPICS, dead_letter_topic
from fraudstream.kafka.topic.topics import create_topics
from fraudstream.settings import ROOT, Settings
from pydantic import SecretStr

from tests.integration.collected import Collected
from tests.integration.kafka_access.secured_brokers import (
    Authority,
    Secured,
    acl_bindings,
    password_of,
    run_access_script,
)
from tests.integration.pipeline import decoded, good_row, paysim, publisher, records
from tests.unit.deploy.container_files import rights

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def produced(secured: Secured, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Produces four rows, one of which is a fraud and one invalid; returns the start of their ids."""
    rows = [good_row(1), good_row(2, fraud=1), "rubbish", good_row(3)]
    path = paysim(rows, tmp_path_factory.mktemp("rows"))
    progress = publisher(secured.settings_of("producer"), path, max_rejected_share=1.0).run()
    assert (progress.nonFraud, progress.fraud, progress.rejected, progress.done) == (2, 1, 1, True)
    return open_source(str(path), None).id_prefix


def subscription(settings: Settings, topic: str, role: str, sink: Collected) -> Subscription:
    letters = DeadLetters(settings) if role == "write_lake" else None
    codec = Codec.for_topic(topic, settings)
    return Subscription(settings, topic, f"{role}-{topic}", sink, codec, until="caught_up", dead_letters=letters)


class TestAccessScript:
    """docker/kafka/access.sh with Kafka's own command-line tools."""

    def test_a_user_that_it_makes_logs_in_and_has_its_rights(self, secured: Secured, tmp_path: Path) -> None:
        text = (ROOT / "docker/kafka/access.sh").read_text()
        password = password_of("newcomer")
        acls = f"newcomer Write,Describe topic {FRAUD_TRANSACTION} literal\n"
        printed = run_access_script(secured, tmp_path, {"newcomer": password}, acls, text)
        assert password not in printed
        assert "Completed updating config for user newcomer" in printed
        metadata = secured.admin_of("newcomer").list_topics(timeout=30)
        assert FRAUD_TRANSACTION in metadata.topics
        assert NON_FRAUD_TRANSACTION not in metadata.topics

    def test_a_failure_says_at_which_step_and_prints_no_password(self, secured: Secured, tmp_path: Path) -> None:
        text = (ROOT / "docker/kafka/access.sh").read_text()
        # An earlier version wrote this: a value needs brackets on the command line, but not in a file.
        broken = text.replace("SCRAM-SHA-512=password=%s", "SCRAM-SHA-512=[password=%s]")
        assert broken != text
        with pytest.raises(subprocess.CalledProcessError) as raised:
            run_access_script(secured, tmp_path, {"newcomer": "s3cret-of-newcomer"}, "", broken)
        assert "fraudstream access failed: making the user newcomer" in raised.value.output
        assert "s3cret-of-newcomer" not in raised.value.output


class TestTheRightRole:
    @pytest.mark.parametrize(
        ("user", "topic", "roles", "rows"),
        [
            ("consumer_non_fraud", NON_FRAUD_TRANSACTION, ("write_lake", "send_mail"), 2),
            ("consumer_fraud", FRAUD_TRANSACTION, ("write_lake", "send_mail", "open_cases"), 1),
        ],
    )
    def test_a_consumer_reads_its_topic_in_each_of_its_groups(
        self, secured: Secured, produced: str, user: str, topic: str, roles: tuple[str, ...], rows: int
    ) -> None:
        for role in roles:
            sink = Collected()
            subscription(secured.settings_of(user), topic, role, sink).run()
            assert len([row for row in sink.rows if str(row["idTransaction"]).startswith(produced)]) == rows

    def test_a_consumer_puts_what_it_can_t_read_aside(self, secured: Secured) -> None:
        producer = Producer(secured.settings_of("producer").kafka_config())
        producer.produce(FRAUD_TRANSACTION, key=b"C1", value=b"poison")
        assert producer.flush(30) == 0
        report = subscription(secured.settings_of("consumer_fraud"), FRAUD_TRANSACTION, "write_lake", Collected()).run()
        assert report.invalid == 1

    def test_the_operator_produces_a_dead_letter_again_once(self, secured: Secured) -> None:
        # One of 256 random values would have an unknown schema, which would make a redrive wait.
        content = b"no Avro " + uuid.uuid4().bytes
        producer = Producer(secured.settings_of("producer").kafka_config())
        producer.produce(FRAUD_TRANSACTION, key=b"C1", value=content, partition=2, headers=[("trace", b"1")])
        assert producer.flush(30) == 0
        consumer, operator = secured.settings_of("consumer_fraud"), secured.settings_of("operator")
        subscription(consumer, FRAUD_TRANSACTION, "write_lake", Collected()).run()
        (letter,) = (each for each in read_dead_letters(operator, FRAUD_TRANSACTION) if each.value == content)
        assert (letter.key, letter.headers, letter.partition.number) == (b"C1", [("trace", b"1")], 2)

        def again(*, force: bool) -> Redriven:
            return redrive(operator, FRAUD_TRANSACTION, lambda each: each.value == content, force=force)

        (left,) = again(force=False).left
        assert left[1] == letter.reason
        assert [each.value for each in again(force=True).produced if each.partition == letter.partition] == [content]
        assert again(force=True).produced == []
        lying = [
            message
            for message in records(secured.settings_of("airflow"), FRAUD_TRANSACTION)
            if message.value() == content
        ]
        assert [message.partition() for message in lying] == [2, 2]
        origin = f"{FRAUD_TRANSACTION}[2] offset {letter.offset}".encode()
        assert lying[1].headers() == [("trace", b"1"), (REDRIVEN_FROM, origin)]
        subscription(consumer, FRAUD_TRANSACTION, "write_lake", Collected()).run()
        found = [each for each in read_dead_letters(operator, FRAUD_TRANSACTION) if each.value == content]
        assert [each.redriven_at is None for each in found] == [False, True]

    @pytest.mark.parametrize("user", ["site", "airflow"])
    def test_site_and_triggerer_answer_cases_and_see_the_answers(
        self, secured: Secured, produced: str, user: str
    ) -> None:
        settings = secured.settings_of(user)
        (fraud,) = decoded(secured.settings_of("airflow"), FRAUD_TRANSACTION, produced)
        answer = {**fraud, "idTransaction": f"{fraud['idTransaction']}-{user}"}
        with AnswerPublisher(settings) as answers, ConfirmationView(settings, horizon=timedelta(hours=1)) as view:
            asyncio.run(answers.publish("REPORTED_FRAUD", answer, datetime.now(UTC)))
            found = asyncio.run(asyncio.wait_for(view.wait(answer["idTransaction"]), 30))
        assert found.status == "REPORTED_FRAUD"

    @pytest.mark.parametrize("user", ["airflow", "monitor"])
    def test_audit_and_monitor_see_topics_and_how_far_each_group_got(
        self, secured: Secured, produced: str, user: str
    ) -> None:
        group = f"write_lake-{NON_FRAUD_TRANSACTION}"
        subscription(secured.settings_of("consumer_non_fraud"), NON_FRAUD_TRANSACTION, "write_lake", Collected()).run()
        consumer = Consumer(secured.settings_of(user).kafka_config(**{"group.id": group}))
        try:
            topics = consumer.list_topics(timeout=30).topics
            partitions = [TopicPartition(NON_FRAUD_TRANSACTION, number) for number in range(6)]
            committed = consumer.committed(partitions, timeout=30)
            assert set(topics) >= {topic.name for topic in TOPICS}
            assert sum(max(0, place.offset) for place in committed) > 0
            assert [place.error for place in committed] == [None] * 6
        finally:
            consumer.close()


class TestTheWrongRole:
    def test_a_consumer_can_t_produce(self, secured: Secured, tmp_path: Path) -> None:
        path = paysim([good_row(1)], tmp_path)
        with pytest.raises(KafkaRefused) as raised:
            publisher(secured.settings_of("consumer_fraud"), path).run()
        assert_says(raised.value, secured, "'consumer_fraud'", str(path), "Transactional Id authorization failed")

    def test_a_producer_without_the_right_to_a_topic_is_told_which(self, secured: Secured, tmp_path: Path) -> None:
        path = paysim([good_row(1)], tmp_path)
        lost = [
            binding
            for right in rights(ROOT)
            if (right.user, right.name) == ("producer", NON_FRAUD_TRANSACTION)
            for binding in acl_bindings(right)
        ]
        granted = [binding for binding in lost if binding.operation.name == "WRITE"]
        secured.revoke(granted)
        try:
            with pytest.raises(KafkaRefused) as raised:
                publisher(secured.settings_of("producer"), path).run()
        finally:
            secured.grant(granted)
        assert_says(raised.value, secured, "'producer'", f"topic {NON_FRAUD_TRANSACTION}", "Topic authorization failed")
        # With the right granted again, the next run succeeds without further changes.
        assert publisher(secured.settings_of("producer"), path).run().done

    def test_a_consumer_can_t_read_another_s_topic(self, secured: Secured) -> None:
        settings = secured.settings_of("consumer_non_fraud")
        with pytest.raises(KafkaRefused) as raised:
            subscription(settings, FRAUD_TRANSACTION, "write_lake", Collected()).run()
        assert_says(raised.value, secured, "'consumer_non_fraud'", FRAUD_TRANSACTION, "Topic authorization failed")

    def test_a_role_that_may_read_a_topic_can_t_join_another_s_group(self, secured: Secured) -> None:
        with pytest.raises(KafkaRefused) as raised:
            subscription(secured.settings_of("site"), FRAUD_TRANSACTION, "send_mail", Collected()).run()
        assert_says(
            raised.value, secured, "'site'", f"group send_mail-{FRAUD_TRANSACTION}", "Group authorization failed"
        )

    def test_a_consumer_can_t_answer_for_customers(self, secured: Secured, produced: str) -> None:
        settings = secured.settings_of("consumer_fraud")
        (fraud,) = decoded(secured.settings_of("airflow"), FRAUD_TRANSACTION, produced)
        with AnswerPublisher(settings) as answers, pytest.raises(KafkaRefused) as raised:
            asyncio.run(answers.publish("REPORTED_NOT_FRAUD", fraud, datetime.now(UTC)))
        assert_says(raised.value, secured, "'consumer_fraud'", FRAUD_CONFIRMATION, "Topic authorization failed")

    def test_the_monitor_writes_nothing_and_makes_no_topic(self, secured: Secured) -> None:
        settings = secured.settings_of("monitor")
        for topic in (NON_FRAUD_TRANSACTION, INGEST_PROGRESS, dead_letter_topic(NON_FRAUD_TRANSACTION)):
            outcome: list[object] = []
            producer = Producer(settings.kafka_config())
            producer.produce(topic, value=b"x", on_delivery=lambda error, _, outcome=outcome: outcome.append(error))
            assert producer.flush(30) == 0
            assert "Topic authorization failed" in str(outcome)
        with pytest.raises(KafkaRefused) as raised:
            create_topics(settings)
        assert_says(raised.value, secured, "'monitor'", "creating topic", "Authorization failed")

    def test_nobody_but_the_producer_reads_what_was_rejected_except_those_who_watch(self, secured: Secured) -> None:
        with pytest.raises(KafkaRefused, match=INGEST_DEAD_LETTER):
            settings = secured.settings_of("site")
            codec = Codec.for_topic(FRAUD_TRANSACTION, settings)
            Subscription(settings, INGEST_DEAD_LETTER, "any", Collected(), codec, until="caught_up").run()


class TestWhoIsNotLetIn:
    """Each wrong setting is named within seconds by every client that connects."""

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            (
                {"kafka_sasl_password": SecretStr("wrong")},
                ("isn't let in", "invalid credentials", "FRAUDSTREAM_KAFKA_SASL_USERNAME", "_SASL_PASSWORD"),
            ),
            ({"kafka_sasl_mechanism": "PLAIN"}, ("isn't let in", "SCRAM-SHA-512", "_SASL_MECHANISM (PLAIN)")),
            ({"kafka_ssl_ca_location": ""}, ("certificate verify failed", "FRAUDSTREAM_KAFKA_SSL_CA_LOCATION ('')")),
            (
                {"kafka_security_protocol": "PLAINTEXT"},
                ("close every connection", "speak PLAINTEXT (FRAUDSTREAM_KAFKA_SECURITY_PROTOCOL)?"),
            ),
        ],
        ids=["password", "mechanism", "authority", "plaintext"],
    )
    def test_the_setting_that_is_wrong_is_named(
        self, secured: Secured, tmp_path: Path, wrong: Mapping[str, object], said: tuple[str, ...]
    ) -> None:
        settings = secured.settings_of("producer", **wrong)
        path = paysim([good_row(1)], tmp_path)
        reading = subscription(settings, NON_FRAUD_TRANSACTION, "send_mail", Collected())
        for client in (publisher(settings, path).run, reading.run):
            started = time.monotonic()
            with pytest.raises(KafkaRefused) as raised:
                client()
            assert time.monotonic() - started < 25, "it waited out a time limit"
            for words in (*said, secured.bootstrap_servers):
                assert words in str(raised.value)

    def test_an_authority_that_didn_t_sign_the_brokers_is_named(self, secured: Secured, tmp_path: Path) -> None:
        other = tmp_path / "other.pem"
        other.write_text(Authority().pem())
        settings = secured.settings_of("producer", kafka_ssl_ca_location=str(other))
        with pytest.raises(KafkaRefused, match=rf"certificate verify failed.*{other}"):
            wait_for_brokers(settings, seconds=1)

    def test_a_certificate_of_another_name_is_not_taken(self, secured: Secured) -> None:
        servers = secured.bootstrap_servers.replace("localhost", "127.0.0.1")
        settings = secured.settings_of("producer", kafka_bootstrap_servers=servers)
        with pytest.raises(KafkaRefused, match=r"certificate verify failed.*the addresses must be the names in them"):
            wait_for_brokers(settings, seconds=1)


def assert_says(error: KafkaError, secured: Secured, *words: str) -> None:
    """Checks that the error names these words, the brokers and what to do."""
    for expected in (*words, secured.bootstrap_servers, "FRAUDSTREAM_KAFKA_SASL_USERNAME", "docker/kafka/acls"):
        assert expected in str(error)
