"""The app behind Airflow's login at ``/fraudstream``. Each router declares the permission that its pages need."""

from fastapi import FastAPI

from fraudstream.orchestration.pages import case_tabs, desk, pipeline

app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
app.include_router(case_tabs.router)
app.include_router(pipeline.router)
app.include_router(desk.router)
