"""Registers the plugin's timetables, as Airflow does when it loads plugins."""

from collections.abc import Iterator

import pytest
from airflow import plugins_manager
from airflow.sdk._shared.module_loading import qualname
from fraudstream_plugin import FraudstreamPlugin


@pytest.fixture(scope="session", autouse=True)
def timetables() -> Iterator[None]:
    """The plugin's timetables."""
    known = {qualname(timetable): timetable for timetable in FraudstreamPlugin.timetables}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plugins_manager, "get_timetables_plugins", lambda: known)
        yield
