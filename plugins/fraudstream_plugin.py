"""What Airflow loads of fraudstream as a plugin: two tabs in its UI, and the schedule of the consumer DAGs."""

from typing import Any

from airflow.plugins_manager import AirflowPlugin
from fraudstream.orchestration.timetables import Continuous


async def case_pages(scope: Any, receive: Any, send: Any) -> None:
    """The pages behind the tabs, imported at the first request: every component loads plugins, one serves pages."""
    from fraudstream.orchestration.case_pages import app  # noqa: PLC0415

    await app(scope, receive, send)


class FraudstreamPlugin(AirflowPlugin):
    """The tabs show a sensor's case and a run's cases. They are on each DAG's pages; most say that there are none."""

    name = "fraudstream"
    timetables = [Continuous]  # noqa: RUF012
    fastapi_apps = [{"app": case_pages, "url_prefix": "/fraudstream", "name": "fraudstream"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Case",
            "href": "fraudstream/case?dag_id={DAG_ID}&run_id={RUN_ID}&task_id={TASK_ID}&map_index={MAP_INDEX}",
            "url_route": "fraudstream-case",
            "destination": "task_instance",
        },
        {
            "name": "Cases",
            "href": "fraudstream/cases?dag_id={DAG_ID}&run_id={RUN_ID}",
            "url_route": "fraudstream-cases",
            "destination": "dag_run",
        },
    ]
