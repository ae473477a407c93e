"""The parts of the page "Pipeline", and the formats of its numbers, durations and times."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from markupsafe import Markup

from fraudstream.pipeline.thresholds import Colour

HOUR, DAY = 3600.0, 86_400.0


@dataclass(frozen=True, slots=True)
class Figure:
    """A named value on the page: `text` is what people see, `raw` the same value for programs."""

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
    """The content of the page."""

    at: str
    sections: list[Section] = field(default_factory=list)
    plots: list[tuple[str, Markup, Markup, list[str]]] = field(default_factory=list)
    #: Reasons why parts of the sample are missing.
    problems: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> list[tuple[str, str, Figure]]:
        """The red figures, then the amber ones, each with the title of its card and its heading on the card."""
        found = [(s.title, name, one) for s in self.sections for name, figures in s.groups.items() for one in figures]
        return [place for colour in ("red", "amber") for place in found if place[2].colour == colour]


def number(value: float | None) -> str:
    """A number as the page shows it: with a decimal if it is below 10 and not an integer, "-" for None."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def duration(seconds: float | None) -> str:
    """A duration in the largest unit of which it has at least one: 41 s, 12.0 min, 3.5 h, 2.1 d. None gives 0 s."""
    value = seconds or 0.0
    for size, unit in ((DAY, "d"), (HOUR, "h"), (60.0, "min")):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return f"{value:.0f} s"


def moment(at: float) -> str:
    """A time in UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
