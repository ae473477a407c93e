"""The page "Pipeline": is it healthy, and if not, where."""

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import requires_access_view
from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse

from fraudstream.orchestration.pages.rendering import page

router = APIRouter(dependencies=[Depends(requires_access_view(AccessView.CLUSTER_ACTIVITY))])


@router.get("/pipeline")
def pipeline() -> HTMLResponse:
    """One screen for those who may see Airflow's own health."""
    return page("pipeline.html", title="Pipeline", nav="pipeline")
