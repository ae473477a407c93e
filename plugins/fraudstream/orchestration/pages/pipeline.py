"""The page "Pipeline": is it healthy, and if not, where. It shows samples; a visit costs the brokers nothing."""

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
    """One screen for those who may see Airflow's own health."""
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
    """Where a link of :mod:`fraudstream.pipeline.page.overview` goes, from this page; empty: nowhere."""
    kind, _, name = link.partition(":")
    if kind == "dag":
        return f"../dags/{quote(name, safe='')}"
    if kind == "run":
        dag, _, run = name.partition(":")
        return f"../dags/{quote(dag, safe='')}/runs/{quote(run, safe='')}"
    if kind == "asset":
        return f"../assets/{assets[name]}" if name in assets else "../assets"
    return {"jobs": "../jobs", "desk": "../plugin/fraudstream-desk"}.get(kind, "")
