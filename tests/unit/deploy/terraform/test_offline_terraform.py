"""The messages of the provider that only has a schema, without sockets."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.deploy.offline_terraform import GoogleSchema, declared, fields, message, planned, read_test_log, varint
from tests.unit.deploy.provider_schema import ProviderSchema


class TestWireFormat:
    @given(st.lists(st.tuples(st.integers(1, 2000), st.binary(max_size=300))))
    def test_what_is_written_is_read_back(self, content: list[tuple[int, bytes]]) -> None:
        assert list(fields(b"".join(message(field, data) for field, data in content))) == content

    def test_numbers_are_written_as_protobuf_s_documentation_shows(self) -> None:
        assert varint(150) == b"\x96\x01"
        assert message(1, 150) == b"\x08\x96\x01"
        assert message(2, "testing") == b"\x12\x07testing"


class TestSchema:
    def test_a_resource_s_arguments_blocks_and_outputs_reach_terraform(self, schema: ProviderSchema) -> None:
        response = GoogleSchema(schema).provider_response({"google_secret_manager_secret_version"})
        resources = [dict(fields(content)) for field, content in fields(response) if field == 2]
        assert [entry[1] for entry in resources] == [b"google_secret_manager_secret_version"]
        block = dict(fields(resources[0][2]))[2]
        attributes = {dict(fields(content))[1].decode(): content for field, content in fields(block) if field == 2}
        assert json.loads(dict(fields(attributes["secret_data_wo_version"]))[2]) == "number"
        assert attributes["secret"].endswith(message(4, 1))  # required
        assert attributes["secret_data_wo"].endswith(message(5, 1) + message(11, 1))  # optional, write-only
        assert attributes["create_time"].endswith(message(6, 1))  # computed
        assert [dict(fields(content))[1] for field, content in fields(block) if field == 3] == [b"timeouts"]


def test_a_resource_that_ends_stays_ended() -> None:
    nil = message(1, b"\xc0")
    assert planned(message(1, "random_id") + message(3, nil)) == message(1, nil)


class TestWhatIsPlanned:
    def test_the_log_of_a_test_gives_what_was_planned_and_what_to_print(self) -> None:
        changes = [{"type": "google_sql_user", "name": "airflow"}, {"type": "google_compute_instance", "name": "vm"}]
        log = [
            {"type": "test_run", "test_run": {"progress": "starting"}, "@message": "starts"},
            {"type": "test_plan", "test_plan": {"resource_changes": changes}, "@message": "plan"},
            {"type": "test_run", "test_run": {"progress": "complete"}, "@message": "fails"},
            {"type": "diagnostic", "diagnostic": {"detail": "why"}, "@message": "Error"},
        ]
        said, addresses = read_test_log(map(json.dumps, log))
        assert said == ["fails", "Error", "why"]
        assert addresses == {"google_sql_user.airflow", "google_compute_instance.vm"}

    def test_resources_of_modules_have_to_be_planned_too(self, root: Path) -> None:
        assert {"google_sql_user.airflow", "google_compute_disk.data"} <= declared(root / "terraform")
