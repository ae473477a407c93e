"""Reads Airflow's health from its database: heartbeats, triggerers and their load, the last runs."""

import shutil
from typing import Any

from airflow.configuration import conf
from airflow.jobs.job import Job, JobState
from airflow.models.dagrun import DagRun
from airflow.models.trigger import Trigger
from sqlalchemy import func, select

from fraudstream.pipeline.airflow_health import Health, Run, Triggerer

_JOBS = {"scheduler": "SchedulerJob", "triggerer": "TriggererJob", "dag_processor": "DagProcessorJob"}
#: A triggerer without a heartbeat for this time doesn't count as running: a job that crashed keeps the state running.
_GONE_SECONDS = 300
_ENDED = ("success", "failed")


def read_health(session: Any, now: float) -> Health:
    """Airflow's present health.

    :param now: seconds since 1970
    """
    beats = {
        kind: at.timestamp()
        for kind, at in session.execute(select(Job.job_type, func.max(Job.latest_heartbeat)).group_by(Job.job_type))
        if at is not None
    }
    held = dict(
        session.execute(
            select(Trigger.triggerer_id, func.count()).group_by(Trigger.triggerer_id),
        ).all()
    )
    running = select(Job.id, Job.hostname, Job.latest_heartbeat).where(
        Job.job_type == "TriggererJob", Job.state == JobState.RUNNING
    )
    triggerers = [
        Triggerer(host or "", max(0.0, now - at.timestamp()), held.get(number, 0))
        for number, host, at in session.execute(running)
        if at is not None and now - at.timestamp() < _GONE_SECONDS
    ]
    return Health(
        {name: max(0.0, now - beats[job]) if job in beats else None for name, job in _JOBS.items()},
        triggerers,
        conf.getint("triggerer", "capacity"),
        held.get(None, 0),
        {dag: run for dag in ("compact_lake", "audit_lake") if (run := _last_run(session, dag)) is not None},
        _disk_share(),
    )


def _last_run(session: Any, dag: str) -> Run | None:
    ended = (DagRun.dag_id == dag, DagRun.state.in_(_ENDED), DagRun.end_date.is_not(None))
    last = select(DagRun.end_date, DagRun.run_id, DagRun.state).where(*ended).order_by(DagRun.end_date.desc()).limit(1)
    found = session.execute(last).first()
    return None if found is None else Run(found[0].timestamp(), found[1], str(found[2]))


def _disk_share() -> float:
    usage = shutil.disk_usage("/")
    return usage.used / usage.total
