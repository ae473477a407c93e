"""What Airflow loads of fraudstream as a plugin: pages and tabs in its UI, and the schedule of the consumer DAGs."""

import asyncio
from typing import Any
from urllib.parse import quote

from airflow.plugins_manager import AirflowPlugin
from fraudstream.orchestration.timetables import Continuous


async def pages(scope: Any, receive: Any, send: Any) -> None:
    """The pages, imported at the first request: every component loads plugins, one serves pages."""
    # The import takes seconds: beside the event loop, which serves all of Airflow's requests.
    app = await asyncio.to_thread(_imported)
    await app(scope, receive, send)


def _imported() -> Any:
    from fraudstream.orchestration.pages.app import app  # noqa: PLC0415

    return app


class Samples:
    """Starts the samples of the pipeline in the API server, the one component that asks for its middlewares."""

    def __init__(self, app: Any) -> None:
        from fraudstream.orchestration.monitoring.sampling import SamplesPipeline  # noqa: PLC0415

        self._app = SamplesPipeline(app)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)


def _icon(path: str, colour: str) -> str:
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="{colour}" stroke-width="2" '
        f'stroke-linecap="round" stroke-linejoin="round"><path d="{path}"/></svg>'
    )
    return f"data:image/svg+xml,{quote(svg)}"


def _in_navigation(name: str, route: str, icon: str) -> dict[str, Any]:
    return {
        "name": name,
        "href": f"fraudstream/{route}",
        "url_route": f"fraudstream-{route}",
        "destination": "nav",
        "category": "fraudstream",
        "nav_top_level": True,
        "icon": _icon(icon, "#374151"),
        "icon_dark_mode": _icon(icon, "#d1d5db"),
    }


class FraudstreamPlugin(AirflowPlugin):
    """The tabs show a sensor's case and a run's cases. They are on each DAG's pages; most say that there are none."""

    name = "fraudstream"
    timetables = [Continuous]  # noqa: RUF012
    fastapi_apps = [{"app": pages, "url_prefix": "/fraudstream", "name": "fraudstream"}]  # noqa: RUF012
    fastapi_root_middlewares = [{"middleware": Samples, "name": "fraudstream samples"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        _in_navigation("Pipeline", "pipeline", "M3 12h4l3 8 4-16 3 8h4"),
        _in_navigation("Cases", "desk", "M4 4h16v12H9l-5 4zM8 9h8M8 12h5"),
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
