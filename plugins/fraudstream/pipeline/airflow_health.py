"""Airflow's health as the page shows it. The package orchestration reads it from Airflow's database."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Triggerer:
    """A running triggerer: seconds since its last heartbeat, and the number of its triggers."""

    host: str
    heartbeat: float
    triggers: int


@dataclass(frozen=True, slots=True)
class Run:
    """A DAG run: when it ended (seconds since 1970), its id and state."""

    ended_at: float
    run_id: str
    state: str


@dataclass(frozen=True, slots=True)
class Health:
    """Airflow's health at one moment."""

    #: Seconds since the last heartbeat, by kind of job; None if no job of this kind ever ran.
    heartbeats: dict[str, float | None] = field(default_factory=dict)
    triggerers: list[Triggerer] = field(default_factory=list)
    capacity: int = 0
    #: Triggers that no triggerer has taken.
    unassigned: int = 0
    #: The last run that ended, by DAG.
    runs: dict[str, Run] = field(default_factory=dict)
    #: Share of the API server's disk that is in use.
    disk: float = 0.0

    @property
    def load(self) -> float | None:
        """Share of the triggerers' capacity that is in use; None if no triggerer runs."""
        if not self.triggerers or not self.capacity:
            return None
        return sum(one.triggers for one in self.triggerers) / (self.capacity * len(self.triggerers))
