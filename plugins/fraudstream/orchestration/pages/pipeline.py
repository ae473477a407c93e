"""The page "Pipeline": whether the pipeline is healthy, and if not, where. It shows samples and asks no broker."""

import time
from typing import Any
from urllib.parse import quote

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import requires_access_view
from airflow.models.asset import AssetModel
from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse
from sqlalchemy import select

from fraudstream.orchestration.monitoring.health import read_health
from fraudstream.orchestration.monitoring.sampling import create_table, read_history
from fraudstream.orchestration.pages.rendering import page
from fraudstream.pipeline.page.overview import overview

router = APIRouter(dependencies=[Depends(requires_access_view(AccessView.CLUSTER_ACTIVITY))])


@router.get("/pipeline")
def pipeline(session: SessionDep) -> HTMLResponse:
    """The page, for users who may see Airflow's cluster activity."""
    now = time.time()
    create_table(session.get_bind())
    history = read_history(session.connection(), now)
    shown = overview(history, read_health(session, now), now)
    assets = dict(session.execute(select(AssetModel.name, AssetModel.id)).all())
    return page(
        "pipeline.html",
        title="Pipeline",
        nav="pipeline",
        shown=shown,
        wrong=shown.wrong,
        href=lambda link: _address(link, assets),
    )


def _address(link: str, assets: dict[str, Any]) -> str:
    """The relative address of a link of :mod:`fraudstream.pipeline.page.overview`; empty if it has none."""
    kind, _, name = link.partition(":")
    if kind == "dag":
        return f"../dags/{quote(name, safe='')}"
    if kind == "run":
        dag, _, run = name.partition(":")
        return f"../dags/{quote(dag, safe='')}/runs/{quote(run, safe='')}"
    if kind == "asset":
        return f"../assets/{assets[name]}" if name in assets else "../assets"
    return {"jobs": "../jobs", "desk": "../plugin/fraudstream-desk"}.get(kind, "")
