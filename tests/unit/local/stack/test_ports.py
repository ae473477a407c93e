"""The table of ports: complete, without duplicates, changed by the environment; wrong values are named."""

import pytest
from fraudstream.errors import SettingsError
from hypothesis import given
from hypothesis import strategies as st

from local.stack.ports import PORTS, PREFIX, Ports


def test_no_two_parts_share_a_default_port() -> None:
    defaults = [port for port, _ in PORTS.values()]

    assert len(set(defaults)) == len(defaults)


def test_no_two_of_the_ten_stacks_share_a_port() -> None:
    tables = [Ports.from_environment({"FRAUDSTREAM_STACK": str(number)}) for number in range(10)]
    used = [port for table in tables for port in table.values()]
    assert len(set(used)) == len(used)
    assert max(used) < 32_768, "the kernel gives ports from here on to clients"


@pytest.mark.parametrize("value", ["10", "-1", "two", "", "\u0661"])
def test_what_is_no_number_of_a_stack_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match=rf"FRAUDSTREAM_STACK is {value!r}; expected the number of a stack, 0 to 9"):
        Ports.from_environment({"FRAUDSTREAM_STACK": value})


def test_without_variables_every_part_has_its_default() -> None:
    assert Ports.from_environment({"PATH": "/bin"}) == {name: port for name, (port, _) in PORTS.items()}


@given(st.sampled_from(sorted(PORTS)), st.integers(40_000, 65_535))
def test_a_variable_moves_its_part_and_no_other(name: str, port: int) -> None:
    ports = Ports.from_environment({PREFIX + name.upper(): str(port)})

    assert {other: used for other, used in ports.items() if used != PORTS[other][0]} == {name: port}
    assert ports.url(name) == f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("value", ["", "0", "65536", "-1", "80 ", "http", "8080.0"])
def test_what_is_no_port_is_refused_with_variable_and_value(value: str) -> None:
    with pytest.raises(SettingsError, match=rf"FRAUDSTREAM_PORT_GCS is {value!r}"):
        Ports.from_environment({"FRAUDSTREAM_PORT_GCS": value})


def test_a_variable_of_no_part_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"FRAUDSTREAM_PORT_KAFKA names no part.*FRAUDSTREAM_PORT_KAFKA_1"):
        Ports.from_environment({"FRAUDSTREAM_PORT_KAFKA": "1"})


def test_two_parts_on_one_port_are_refused_with_both_names() -> None:
    with pytest.raises(SettingsError, match="port 8080 is set for airflow and confirmation"):
        Ports.from_environment({"FRAUDSTREAM_PORT_CONFIRMATION": "8080"})
