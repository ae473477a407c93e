"""The fraud team's figures: waiting times to a tenth of a second, and never negative."""

import io

import pytest
from fraudstream.cases.answers.figures import answer_figures, as_table
from fraudstream.lake.audit.topics import FirstAnswer
from rich.console import Console

CAME_AT = 1_700_000_000_000


@pytest.mark.parametrize(
    ("milliseconds", "median", "p90"),
    [
        ([1_240], 1.2, 1.2),
        ([1_000, 2_000, 4_000], 2.0, 3.6),
        ([-400], 0.0, 0.0),  # the broker's clock is ahead of the site's
        ([], None, None),
    ],
)
def test_how_long_customers_took(milliseconds: list[int], median: float | None, p90: float | None) -> None:
    cases = {str(number): CAME_AT for number in range(len(milliseconds))}
    answers = {str(n): FirstAnswer("REPORTED_FRAUD", CAME_AT + waited) for n, waited in enumerate(milliseconds)}
    *_, in_all = answer_figures(cases, answers)
    assert (in_all.median_seconds, in_all.p90_seconds) == (median, p90)
    assert in_all.reported_fraud == len(milliseconds)


def test_the_table_has_times_and_shares_where_customers_answered_and_a_dash_elsewhere() -> None:
    cases = {"a": CAME_AT, "b": CAME_AT, "c": CAME_AT + 86_400_000}
    answers = {
        "a": FirstAnswer("REPORTED_FRAUD", CAME_AT + 3_600_000),
        "b": FirstAnswer("REPORTED_NOT_FRAUD", CAME_AT + 3_600_000),
        "c": FirstAnswer("NO_RESPONSE", CAME_AT + 86_400_000),
    }
    console = Console(width=200, file=io.StringIO())
    console.print(as_table(answer_figures(cases, answers)))
    lines = console.file.getvalue().splitlines()
    cells = [[cell.strip() for cell in line.strip("│ ").split("│")] for line in lines if line.startswith("│")]
    assert cells == [
        ["2023-11-14", "2", "1", "1", "0", "1:00:00", "1:00:00", "50.0%"],
        ["2023-11-15", "0", "0", "0", "1", "-", "-", "-"],
        ["all days", "2", "1", "1", "1", "1:00:00", "1:00:00", "50.0%"],
    ]
