"""The fraud team's figures: waiting times to a tenth of a second, and never below nothing."""

import pytest
from fraudstream.cases.answers.figures import answer_figures
from fraudstream.lake.audit.topics import FirstAnswer

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
