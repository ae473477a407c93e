"""Starting and stopping the brokers' VMs: each instance separately, and each failure says what to change."""

import importlib.util
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.google.cloud.hooks import compute as compute_hook
from airflow.providers.google.common.hooks import base_google
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from fraudstream.errors import MachineError, SettingsError
from fraudstream.orchestration.operators import machines as machine_operators
from fraudstream.orchestration.operators.machines import AwaitIdle, StartMachine, StopMachine, machines
from fraudstream.settings import ROOT, Settings, get_settings

from tests.fakes.compute import Compute, Undocumented, documented

BROKERS = ["us-central1-a/kafka-1", "us-central1-b/kafka-2", "us-central1-c/kafka-3"]


@pytest.fixture
def compute(monkeypatch: pytest.MonkeyPatch) -> Compute:
    """Three stopped brokers in the project of the settings."""
    compute = Compute("my-project", dict.fromkeys(BROKERS, "TERMINATED"))
    monkeypatch.setattr(base_google, "build_http", lambda: compute)
    monkeypatch.setattr(compute_hook, "TIME_TO_SLEEP_IN_SECONDS", 0)
    connection = '{"conn_type": "google_cloud_platform", "extra": {"is_anonymous": true, "project": "elsewhere"}}'
    monkeypatch.setenv("AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", connection)
    return compute


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """What the operator has logged: it is on standard output if Airflow's logging isn't configured."""
    caplog.set_level("INFO")
    return lambda: capsys.readouterr().out + caplog.text


def settings(*instances: str) -> Settings:
    return Settings(compute_project="my-project", compute_instances=list(instances or BROKERS))


def run(operator: type[StartMachine | StopMachine], instance: dict[str, str]) -> None:
    task = operator(task_id="machine", **instance)
    task.execute({"ti": SimpleNamespace(xcom_push=lambda **_: None), "task": task})


def run_each(operator: type[StartMachine | StopMachine]) -> list[BaseException | None]:
    """The result of each of the mapped tasks."""
    outcomes: list[BaseException | None] = []
    for instance in machines(settings()):
        try:
            run(operator, instance)
        except (AirflowFailException, MachineError) as error:
            outcomes.append(error)
        else:
            outcomes.append(None)
    return outcomes


def test_every_broker_is_started_and_waited_for(compute: Compute) -> None:
    assert run_each(StartMachine) == [None, None, None]
    assert set(compute.instances.values()) == {"RUNNING"}
    assert [instance for method, instance in compute.calls if method == "compute.instances.start"] == BROKERS


def test_every_broker_is_stopped_and_waited_for(compute: Compute) -> None:
    compute.instances = dict.fromkeys(BROKERS, "RUNNING")
    assert run_each(StopMachine) == [None, None, None]
    assert set(compute.instances.values()) == {"TERMINATED"}


@pytest.mark.parametrize(
    ("operator", "status", "said"),
    [(StartMachine, "RUNNING", "runs already; nothing to do"), (StopMachine, "TERMINATED", "is stopped already")],
)
def test_a_machine_that_is_there_already_is_left_alone(
    compute: Compute, logged: Callable[[], str], operator: Any, status: str, said: str
) -> None:
    compute.instances[BROKERS[0]] = status
    run(operator, machines(settings())[0])
    assert [method for method, _ in compute.calls] == ["compute.instances.get"]
    assert f"{BROKERS[0]} in project my-project {said}" in logged()


@pytest.mark.parametrize("operator", [StartMachine, StopMachine])
def test_an_instance_that_isn_t_there_is_named_with_where_to_look(compute: Compute, operator: Any) -> None:
    with pytest.raises(AirflowFailException) as raised:
        run(operator, machines(settings("us-central1-a/kafka-9"))[0])
    for words in ("us-central1-a/kafka-9", "no such instance", "FRAUDSTREAM_COMPUTE_INSTANCES", "terraform output"):
        assert words in str(raised.value)


@pytest.mark.parametrize("operator", [StartMachine, StopMachine])
def test_a_missing_right_is_named_with_who_needs_it(compute: Compute, operator: Any) -> None:
    compute.instances = dict.fromkeys(BROKERS, "SUSPENDED")
    compute.forbidden = {BROKERS[1]}
    with pytest.raises(AirflowFailException) as raised:
        run(operator, machines(settings())[1])
    for words in (BROKERS[1], "google_cloud_default", "Required 'compute.instances.", "terraform/kafka.tf"):
        assert words in str(raised.value)


def test_one_of_three_that_fails_leaves_the_others_started_and_is_retried(compute: Compute) -> None:
    compute.failing = {BROKERS[1]: ("ZONE_RESOURCE_POOL_EXHAUSTED", "us-central1-b does not have enough resources")}
    first, second, third = run_each(StartMachine)
    assert (first, third) == (None, None)
    assert isinstance(second, MachineError)
    assert second.retryable
    for words in (BROKERS[1], "ZONE_RESOURCE_POOL_EXHAUSTED", "another zone"):
        assert words in str(second)
    assert compute.instances == {BROKERS[0]: "RUNNING", BROKERS[1]: "TERMINATED", BROKERS[2]: "RUNNING"}
    # The retry of the failed task continues when the zone has capacity again; the other tasks have nothing left to do.
    compute.failing = {}
    compute.calls.clear()
    assert run_each(StartMachine) == [None, None, None]
    assert ("compute.instances.start", BROKERS[1]) in compute.calls
    assert len([method for method, _ in compute.calls if method == "compute.instances.start"]) == 1


class TestSettings:
    @pytest.mark.parametrize("value", ["kafka-1", "us-central1-a/kafka-1/x", "zones/us-central1-a/instances/kafka-1"])
    def test_an_instance_that_is_no_zone_and_name_is_refused(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        monkeypatch.setenv("FRAUDSTREAM_COMPUTE_PROJECT", "my-project")
        monkeypatch.setenv("FRAUDSTREAM_COMPUTE_INSTANCES", value)
        get_settings.cache_clear()
        with pytest.raises(SettingsError, match=r"FRAUDSTREAM_COMPUTE_INSTANCES: .*is not zone/name"):
            get_settings()

    def test_instances_without_a_project_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FRAUDSTREAM_COMPUTE_INSTANCES", ",".join(BROKERS))
        get_settings.cache_clear()
        with pytest.raises(SettingsError, match="FRAUDSTREAM_COMPUTE_PROJECT"):
            get_settings()


class TestDags:
    """How the DAGs use the operators: a skipped or failed task decides what happens after it."""

    @pytest.fixture(autouse=True)
    def settings_of_each(self) -> Iterator[None]:
        """The tasks read the settings after this test has set them."""
        get_settings.cache_clear()
        yield
        get_settings.cache_clear()

    @staticmethod
    def load(monkeypatch: pytest.MonkeyPatch, name: str, instances: str, *tasks: str) -> list[Any]:
        monkeypatch.setenv("FRAUDSTREAM_COMPUTE_PROJECT", "my-project")
        monkeypatch.setenv("FRAUDSTREAM_COMPUTE_INSTANCES", instances)
        spec = importlib.util.spec_from_file_location(f"dag_of_{name}", ROOT / "dags" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        dag = getattr(module, name)()
        return [dag.get_task(task) for task in tasks]

    @pytest.mark.parametrize(
        ("name", "task", "operator"),
        [("start_kafka", "start_instances", StartMachine), ("stop_kafka", "stop_instances", StopMachine)],
    )
    def test_each_configured_instance_is_a_task_of_its_own(
        self, monkeypatch: pytest.MonkeyPatch, name: str, task: str, operator: type
    ) -> None:
        mapped, listed = self.load(monkeypatch, name, ",".join(BROKERS), task, "list_machines")
        assert mapped.operator_class is operator
        assert mapped.expand_input.value.operator is listed
        instances = listed.python_callable()
        assert [f"{each['zone']}/{each['resource_id']}" for each in instances] == BROKERS
        assert {each["project_id"] for each in instances} == {"my-project"}

    def test_brokers_are_waited_for_where_no_machine_is_configured_but_not_after_one_that_failed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        listed, waiting = self.load(monkeypatch, "start_kafka", "", "list_machines", "wait_for_brokers")
        assert listed.python_callable() == []
        assert waiting.trigger_rule == "none_failed"
        assert waiting.upstream_task_ids == {"start_instances"}

    def test_no_machine_is_stopped_before_everybody_is_idle(self, monkeypatch: pytest.MonkeyPatch) -> None:
        names = ("stop_instances", "list_machines", "wait_for_consumers")
        stop, listed, waiting = self.load(monkeypatch, "stop_kafka", ",".join(BROKERS), *names)
        assert (stop.upstream_task_ids, stop.trigger_rule) == ({"list_machines"}, "all_success")
        assert (listed.upstream_task_ids, listed.trigger_rule) == ({"wait_for_consumers"}, "all_success")
        dags = {path.stem for path in (ROOT / "dags").glob("*.py")}
        needing = {
            name for name in dags if name.startswith(("consume_", "produce_", "audit_", "retry_", "close_", "watch_"))
        }
        assert set(waiting.dag_ids) == needing


class TestAwaitIdle:
    """`runs`: the number of runs of each DAG at each request."""

    @staticmethod
    def await_idle(monkeypatch: pytest.MonkeyPatch, runs: dict[str, list[int]], **options: Any) -> list[float]:
        slept: list[float] = []
        monkeypatch.setattr(machine_operators, "get_settings", settings)

        def count(dag_id: str, states: list[str]) -> int:
            assert states == ["running", "queued"]
            left = runs[dag_id]
            return left.pop(0) if len(left) > 1 else left[0]

        task = AwaitIdle(task_id="idle", dag_ids=list(runs), **{"minutes": "1", "anyway": "False", **options})

        def first_look(_: object) -> datetime | None:
            return datetime.now(UTC) - timedelta(seconds=sum(slept)) if slept else None

        context: Any = {"ti": SimpleNamespace(get_dr_count=count, get_first_reschedule_date=first_look)}
        while not task.poke(context):
            slept.append(task.poke_interval)
        return slept

    def test_nothing_is_waited_for_when_nothing_runs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.await_idle(monkeypatch, {"producer": [0], "consumer": [0]}) == []

    def test_a_run_that_ends_is_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert len(self.await_idle(monkeypatch, {"producer": [0], "consumer": [1, 1, 0]})) == 2

    def test_a_run_that_goes_on_keeps_the_brokers_up_and_says_what_to_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(AirflowFailException) as raised:
            self.await_idle(monkeypatch, {"producer": [0], "consumer": [1]})
        for words in (
            "because consumer still needs",
            "after 1 minutes",
            "mark their running tasks as success",
            "anyway",
        ):
            assert words in str(raised.value)

    def test_whoever_is_stopped_anyway_is_named(
        self, monkeypatch: pytest.MonkeyPatch, logged: Callable[[], str]
    ) -> None:
        assert self.await_idle(monkeypatch, {"producer": [1], "consumer": [1]}, anyway="True") == []
        assert "stopped under producer, consumer" in logged()

    def test_without_machines_there_is_nothing_to_stop(self) -> None:
        task = AwaitIdle(task_id="idle", dag_ids=["consumer"], minutes="1", anyway="False")
        get_settings.cache_clear()
        with pytest.raises(AirflowSkipException, match="FRAUDSTREAM_COMPUTE_INSTANCES is empty"):
            task.poke({})  # type: ignore[typeddict-item]

    def test_it_holds_no_slot_between_two_looks(self) -> None:
        task = AwaitIdle(task_id="idle", dag_ids=["consumer"], minutes="1", anyway="False")
        assert (task.mode, task.poke_interval) == ("reschedule", 10)


class TestTheDouble:
    """The fake would prove nothing if it accepted any request."""

    ROOT = "https://compute.googleapis.com/compute/v1/projects/my-project/zones/us-central1-a/"

    def test_what_google_documents_is_taken(self) -> None:
        method, parameters = documented(f"{self.ROOT}instances/kafka-1/start?alt=json", "POST", None)
        assert (method, parameters["instance"]) == ("compute.instances.start", "kafka-1")

    @pytest.mark.parametrize(
        ("path", "verb", "body", "said"),
        [
            ("instances/kafka-1/start", "GET", None, "no method"),
            ("instances/kafka-1/begin", "POST", None, "no method"),
            ("instances/kafka-1/start?force=true", "POST", None, "no parameter 'force'"),
            ("instances/Kafka_1/start", "POST", None, "instance is 'Kafka_1'"),
            ("instances/kafka-1/start", "POST", b"{}", "takes no body"),
        ],
    )
    def test_what_google_doesn_t_document_is_refused(self, path: str, verb: str, body: bytes | None, said: str) -> None:
        with pytest.raises(Undocumented, match=said):
            documented(self.ROOT + path, verb, body)
