"""What the page shows of Airflow itself; orchestration/ asks its database for it."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Triggerer:
    """One that runs: seconds since its heartbeat, and the triggers that it holds."""

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
    """Airflow at one moment."""

    #: Seconds since the last heartbeat by kind of job; None: none ever ran.
    heartbeats: dict[str, float | None] = field(default_factory=dict)
    triggerers: list[Triggerer] = field(default_factory=list)
    capacity: int = 0
    #: Triggers that no triggerer has taken.
    unassigned: int = 0
    #: Last run that ended, by DAG.
    runs: dict[str, Run] = field(default_factory=dict)
    #: Share of the API server's disk that is in use.
    disk: float = 0.0

    @property
    def load(self) -> float | None:
        """Share of the triggerers' capacity that is in use; None: none runs."""
        if not self.triggerers or not self.capacity:
            return None
        return sum(one.triggers for one in self.triggerers) / (self.capacity * len(self.triggerers))
