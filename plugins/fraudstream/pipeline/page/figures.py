"""Parts of the page "Pipeline", and how it writes numbers, durations and times."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from markupsafe import Markup

from fraudstream.pipeline.thresholds import Colour

HOUR, DAY = 3600.0, 86_400.0


@dataclass(frozen=True, slots=True)
class Figure:
    """A number on the page; `raw` is it for programs."""

    name: str
    text: str
    link: str
    colour: Colour = ""
    raw: float | str | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """A card: a title and its figures, each under a heading."""

    title: str
    groups: dict[str, list[Figure]]


@dataclass
class Overview:
    """All that the page shows."""

    at: str
    sections: list[Section] = field(default_factory=list)
    plots: list[tuple[str, Markup, Markup, list[str]]] = field(default_factory=list)
    #: Why a part of the sample is missing.
    problems: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> list[tuple[str, str, Figure]]:
        """Figures that are red, then those that are amber, each with the title of its card and its heading there."""
        found = [(s.title, name, one) for s in self.sections for name, figures in s.groups.items() for one in figures]
        return [place for colour in ("red", "amber") for place in found if place[2].colour == colour]


def number(value: float | None) -> str:
    """As the page shows it."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def duration(seconds: float | None) -> str:
    """The largest unit that is at least one, as 41 s, 12 min, 3.5 h, 2.1 d; nothing waits: 0 s."""
    value = seconds or 0.0
    for size, unit in ((DAY, "d"), (HOUR, "h"), (60.0, "min")):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return f"{value:.0f} s"


def moment(at: float) -> str:
    """A time in UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
