"""docker/vm/boot.py: the files and containers that a VM makes from its metadata and secrets."""

import io
import json
import stat
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.deploy.container_files import boot_module


class FakeGoogle:
    """Secret Manager and the certificate authority, answering from memory."""

    def __init__(self, secrets: dict[str, bytes]) -> None:
        self.secrets = secrets
        self.signed: list[tuple[str, str]] = []

    def secret(self, name: str) -> bytes:
        return self.secrets[name]

    def certificate(self, pool: str, request: str) -> str:
        self.signed.append((pool, request))
        return "CERTIFICATE\nCHAIN\n"


@pytest.fixture
def boot(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    module = boot_module(root)
    monkeypatch.setattr(module, "RUN", tmp_path / "run")
    monkeypatch.setattr(module, "output", lambda *command, stdin="": f"{command[1]}({stdin})\n")
    return module


class Answers:
    """Stands for urlopen: answers with these status codes, then with 200."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)

    def __call__(self, request: urllib.request.Request, timeout: float) -> io.BytesIO:
        if self.codes:
            raise urllib.error.HTTPError(request.full_url, self.codes.pop(0), "no", Message(), io.BytesIO(b"why"))
        return io.BytesIO(b"value")


class TestRetries:
    """A new grant takes minutes to become effective; a boot that gave up at 403 would leave the VM without its role."""

    @pytest.mark.parametrize("codes", [[403, 403], [404], [429, 500, 503]])
    def test_what_passes_is_tried_again(self, boot: Any, monkeypatch: pytest.MonkeyPatch, codes: list[int]) -> None:
        waited: list[float] = []
        monkeypatch.setattr(boot.time, "sleep", waited.append)
        monkeypatch.setattr(boot.urllib.request, "urlopen", Answers(*codes))
        assert boot.Google().metadata("attributes/fraudstream-role") == "value"
        assert waited == [boot.RETRY_SECONDS] * len(codes)

    @pytest.mark.parametrize(("code", "tries"), [(400, 1), (401, 1), (403, 12)])
    def test_what_does_not_pass_ends_the_boot_with_the_answer(
        self, boot: Any, monkeypatch: pytest.MonkeyPatch, code: int, tries: int
    ) -> None:
        answers = Answers(*[code] * 50)
        monkeypatch.setattr(boot.time, "sleep", lambda seconds: None)
        monkeypatch.setattr(boot.urllib.request, "urlopen", answers)
        with pytest.raises(boot.BootError, match=f"answers {code}: b'why'"):
            boot.Google().metadata("attributes/fraudstream-role")
        assert 50 - len(answers.codes) == tries


TASK = {
    "PROJECT": "my-project",
    "SMTP_HOST": "smtp.example.com",
    "SMTP_PORT": "587",
    "SMTP_STARTTLS": "true",
    "SMTP_USER": "me",
    "DATABASE_HOST": "10.0.0.3",
    "REDIS_HOST": "10.0.0.4",
    "REDIS_PORT": "6378",
    "mail_bounce_keys": "",
}


class TestSecrets:
    def test_files_of_a_worker_hold_the_secrets_and_what_is_made_of_them(self, boot: Any) -> None:
        google = FakeGoogle({"s/smtp": b'pa"ss\\word', "s/db": b"dbpw", "s/redis": b"rpw"})
        names = {"smtp_password": "s/smtp", "celery_password": "s/db", "redis_password": "s/redis"}
        folder = boot.write_secrets("worker", TASK, names, google)
        assert json.loads((folder / "airflow_connections.json").read_text())["smtp_default"] == {
            "conn_type": "smtp",
            "host": "smtp.example.com",
            "port": 587,
            "login": "me",
            "password": 'pa"ss\\word',
            "extra": {"disable_ssl": True},
        }
        for name in ("celery_broker_url", "celery_result_backend"):
            assert not (folder / name).read_text().endswith("\n"), "Airflow takes a line break as part of the URL"
        results = (folder / "celery_result_backend").read_text()
        assert results.startswith("db+postgresql+psycopg2://celery:dbpw@10.0.0.3:5432/celery?")
        assert not (folder / "airflow_database_url").exists()
        assert (folder / "mail_bounce_keys").read_text() == ""
        assert (folder / "celery_broker_url").read_text().startswith("rediss://:rpw@10.0.0.4:6378/0?")
        assert (folder / "smtp_password").read_bytes() == b'pa"ss\\word'

    def test_return_addresses_are_signed_where_the_vm_has_the_keys(self, boot: Any) -> None:
        secrets = {"smtp_password": b"1", "celery_password": b"2", "redis_password": b"3", "mail_bounce_keys": b"k"}
        folder = boot.write_secrets("worker", TASK, {name: name for name in secrets}, FakeGoogle(secrets))
        assert (folder / "mail_bounce_keys").read_text() == "k"

    def test_only_root_enters_the_folder_and_containers_can_read_the_files_they_get(self, boot: Any) -> None:
        folder = boot.write_secrets("site", {}, {"confirmation_keys": "s/keys"}, FakeGoogle({"s/keys": b"k"}))
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "confirmation_keys").stat().st_mode) == 0o444

    def test_secrets_of_the_last_boot_are_gone(self, boot: Any) -> None:
        boot.write_secrets("site", {}, {"old": "s/old"}, FakeGoogle({"s/old": b"1"}))
        folder = boot.write_secrets("site", {}, {"new": "s/new"}, FakeGoogle({"s/new": b"2"}))
        assert [path.name for path in folder.iterdir()] == ["new"]

    def test_a_broker_gets_its_own_key_with_the_signed_chain_behind_it(self, boot: Any) -> None:
        google = FakeGoogle({"s/broker": b"pw"})
        environment = {"KAFKA_HOST": "kafka-1.internal", "CA_POOL": "projects/p/locations/r/caPools/c"}
        folder = boot.write_secrets("kafka", environment, {"kafka_broker_password": "s/broker"}, google)
        assert (folder / "kafka_keystore.pem").read_text() == "genpkey()\nCERTIFICATE\nCHAIN\n"
        assert google.signed == [("projects/p/locations/r/caPools/c", "req(genpkey()\n)\n")]
        assert 'user_broker="pw";' in (folder / "kafka.properties").read_text()

    def test_a_template_that_asks_for_more_than_it_is_given_ends_the_boot(self, boot: Any) -> None:
        with pytest.raises(
            boot.BootError, match=r"template a\.txt can't be filled: 'missing' is unknown; known: there"
        ):
            boot.fill("$there $missing", {"there": "1"}, "a.txt")


class TestImages:
    def test_they_are_pulled_with_a_token_that_no_process_list_shows(
        self, boot: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls: list[str] = []
        given: list[str] = []

        def call(*command: str, stdin: str = "") -> None:
            calls.append(" ".join(command))
            given.append(stdin)

        monkeypatch.setattr(boot, "output", call)
        monkeypatch.setattr(boot, "_run", call)
        monkeypatch.setenv("DOCKER_CONFIG", "")
        google = boot.Google()
        monkeypatch.setattr(google, "metadata", lambda path: '{"access_token": "s3cret"}')
        image = "europe-west1-docker.pkg.dev/p/fraudstream/site@sha256:0"
        boot.pull({"SITE_IMAGE": image, "PROJECT": "p"}, google)
        login = "docker login --username oauth2accesstoken --password-stdin europe-west1-docker.pkg.dev"
        assert calls == [login, f"docker pull --quiet {image}"]
        assert given == ["s3cret", ""]

    def test_a_vm_with_images_of_others_alone_signs_in_nowhere(
        self, boot: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(boot, "output", lambda *command, stdin="": pytest.fail(f"called {command}"))
        monkeypatch.setenv("DOCKER_CONFIG", "")
        boot.pull({"KAFKA_HOST": "kafka-1"}, boot.Google())


class TestEnvironment:
    @given(
        st.dictionaries(
            st.from_regex(r"[A-Z][A-Z0-9_]{0,20}", fullmatch=True),
            st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="'\\\x7f\x85")),
        )
    )
    def test_what_metadata_says_reaches_compose_unchanged(self, root: Path, environment: dict[str, str]) -> None:
        boot = boot_module(root)
        metadata = "\n".join(f"{name}={value}" for name, value in environment.items())
        written = boot.environment_file(boot.parse_environment(metadata))
        lines = [line.split("=", 1) for line in written.splitlines()]
        assert {name: value[1:-1] for name, value in lines} == environment

    @pytest.mark.parametrize("value", ["it's", "two\nlines", "ends with \\"])
    def test_what_compose_would_read_differently_is_refused(self, boot: Any, value: str) -> None:
        with pytest.raises(boot.BootError, match="NAME can't be passed"):
            boot.environment_file({"NAME": value})

    def test_a_line_without_a_value_is_refused(self, boot: Any) -> None:
        with pytest.raises(boot.BootError, match="lines without ="):
            boot.parse_environment("GOOD=1\nbad")

    def test_an_unknown_role_ends_the_boot(self, boot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        google = boot.Google()
        monkeypatch.setattr(google, "metadata", lambda path: "database")
        with pytest.raises(boot.BootError, match="fraudstream-role is 'database', known are kafka, registry"):
            boot.boot(google)
