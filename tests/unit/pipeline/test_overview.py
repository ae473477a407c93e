"""What the page "Pipeline" shows of samples: rates, colours, problems and plots."""

import re

import pytest
from fraudstream.pipeline import thresholds
from fraudstream.pipeline.airflow_health import Health, Run, Triggerer
from fraudstream.pipeline.page.figures import Figure, Overview, duration
from fraudstream.pipeline.page.overview import overview
from fraudstream.pipeline.page.plots import Line, plot, rates, thinned
from fraudstream.pipeline.sampling.sample import CaseFigures, GroupFigures, LakeFigures, Sample, TableFigures

NOW = 1_700_000_000.0
HEALTHY = Health(
    {"scheduler": 1.0, "triggerer": 2.0},
    [Triggerer("host", 2.0, 300)],
    1000,
    0,
    {"compact_lake": Run(NOW - 3600, "scheduled__1", "success"), "audit_lake": Run(NOW - 3600, "manual__2", "success")},
    0.5,
)


def sample(at: float = NOW, **changes: object) -> Sample:
    """A healthy pipeline."""
    values: dict[str, object] = {
        "topics": {"non_fraud_transaction": 1_000, "fraud_transaction": 10, "fraud_confirmation": 4},
        "groups": {"write_lake-non_fraud_transaction": GroupFigures(0, None)},
        "produced": {"fraud": 10, "nonFraud": 990, "rejected": 0},
        "dead_letters": {},
        "cases": CaseFigures({"under 1 hour": 6}, 0, {"REPORTED_FRAUD": 4}, {}),
        "lake": LakeFigures(
            {"transaction": 990},
            "transaction/dt=2023-11-14/x.json.gz",
            NOW - 5,
            {"transaction": TableFigures(500, 3, NOW - 60)},
            NOW - 3600,
            True,
            {"fraud_transaction": {"sent": 10}},
        ),
    }
    return Sample(at, **(values | changes))  # type: ignore[arg-type]


def figure(shown: Overview, section: str, group: str, name: str) -> Figure:
    """One number of the page."""
    found = next(one for one in shown.sections if one.title == section)
    return next(one for one in found.groups[group] if one.name == name)


def test_a_sample_is_kept_as_text_and_read_back() -> None:
    assert Sample.from_json(sample().to_json()) == sample()
    without = Sample(NOW, problems=["brokers"])
    assert Sample.from_json(without.to_json()) == without


def test_a_healthy_pipeline_has_nothing_above_a_limit() -> None:
    assert overview([sample()], HEALTHY, NOW + 5).wrong == []


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"groups": {"write_lake-non_fraud_transaction": GroupFigures(5, 700.0)}}, "Consumer groups"),
        ({"cases": CaseFigures({"under 1 hour": 6}, 100, {}, {})}, "Cases"),
        ({"cases": CaseFigures({"over 24 hours": 5_000}, 0, {}, {})}, "Cases"),
        ({"cases": CaseFigures({}, 0, {}, {"bounced": 1})}, "Cases"),
        ({"lake": LakeFigures(audited_at=NOW, audit_ok=False)}, "Lake"),
        ({"lake": LakeFigures(audited_at=NOW - 51 * 3600, audit_ok=True)}, "Lake"),
        ({"at": NOW - 301}, "Consumer groups"),
    ],
)
def test_what_is_wrong_is_said_at_the_top_in_red(change: dict[str, object], where: str) -> None:
    assert where in {title for title, _, one in overview([sample(**change)], HEALTHY, NOW).wrong if one.colour == "red"}


def test_what_is_wrong_names_the_consumer_group() -> None:
    lag = {"groups": {"write_lake-non_fraud_transaction": GroupFigures(5, 700.0)}}
    places = {(title, heading) for title, heading, _ in overview([sample(**lag)], HEALTHY, NOW).wrong}
    assert places == {("Consumer groups", "write_lake of non_fraud_transaction")}


@pytest.mark.parametrize(
    "health",
    [
        Health({"scheduler": 121.0}, HEALTHY.triggerers, 1000),
        Health({"triggerer": None}, HEALTHY.triggerers, 1000),
        Health({}, [], 1000),
        Health({}, [Triggerer("host", 1.0, 900)], 1000),
        Health({}, HEALTHY.triggerers, 1000, disk=0.9),
    ],
)
def test_so_is_what_is_wrong_with_airflow(health: Health) -> None:
    assert ("Airflow", "red") in {(title, one.colour) for title, _, one in overview([sample()], health, NOW).wrong}


def test_only_dead_letters_of_the_last_hour_are_wrong() -> None:
    letters = {"fraud_transaction.dead_letter": {"bad amount": 7}}
    old = [sample(NOW - 1800, dead_letters=letters), sample(dead_letters=letters)]
    assert overview(old, HEALTHY, NOW).wrong == []
    new = [sample(NOW - 1800), sample(dead_letters=letters)]
    assert [one.raw for *_, one in overview(new, HEALTHY, NOW).wrong] == [7]
    shown = overview(new, HEALTHY, NOW)
    assert figure(shown, "Dead letters", "fraud_transaction.dead_letter", "bad amount").raw == 7


def test_an_unknown_number_of_dead_letters_is_not_shown_as_0() -> None:
    shown = overview([sample(NOW - 15), sample(cases=None, dead_letters={})], HEALTHY, NOW)
    found = figure(shown, "Dead letters", "Last hour", "all")
    assert (found.text, found.colour, found.raw) == ("-", "", None)


@pytest.mark.parametrize(
    ("figures", "text", "colour"),
    [
        (GroupFigures(0, None), "0 s", "green"),
        (GroupFigures(5, 700.0), "11.7 min", "red"),
        (GroupFigures(5, None), "-", ""),
    ],
)
def test_an_unknown_age_of_a_lag_is_not_shown_as_0(figures: GroupFigures, text: str, colour: str) -> None:
    shown = overview([sample(groups={"write_lake-non_fraud_transaction": figures})], HEALTHY, NOW)
    group = "write_lake of non_fraud_transaction"
    found = figure(shown, "Consumer groups", group, "lag")
    assert (found.text, found.colour) == (text, colour)
    assert figure(shown, "Consumer groups", group, "lag, records").colour == colour


def test_an_unknown_age_of_a_lag_interrupts_its_line() -> None:
    name = "write_lake-non_fraud_transaction"
    history = [sample(NOW - 45 + 15 * i, groups={name: GroupFigures(5, age)}) for i, age in enumerate((9.0, None, 9.0))]
    drawn = next(str(hour) for title, hour, *_ in overview(history, HEALTHY, NOW).plots if title.startswith("Lag"))
    assert len(re.findall("<polyline", drawn)) == 2


def test_rates_are_of_the_last_two_samples() -> None:
    history = [sample(NOW - 15), sample(topics={"non_fraud_transaction": 1_030})]
    assert figure(overview(history, HEALTHY, NOW), "Produced", "non_fraud_transaction", "records/s").raw == 2


def test_before_the_first_sample_the_page_says_so() -> None:
    shown = overview([], HEALTHY, NOW)
    assert (shown.plots, len(shown.problems)) == ([], 1)


def test_a_rate_is_unknown_over_a_gap_or_where_a_count_fell() -> None:
    points = [(0.0, 0.0), (10.0, 50.0), (20.0, None), (30.0, 70.0), (40.0, 60.0), (900.0, 90.0)]
    assert rates(points, 300) == [(10.0, 5.0), (20.0, None), (30.0, None), (40.0, None), (900.0, None)]


def test_of_many_points_the_peaks_are_drawn() -> None:
    points = [(float(at), 1_000.0 if at == 777 else 1.0) for at in range(5_000)]
    assert len(thinned(points)) <= 200
    assert (777.0, 1_000.0) in thinned(points)


def test_a_gap_interrupts_a_line_and_names_are_no_markup() -> None:
    line = Line("<b>", [(0.0, 1.0), (5.0, 2.0), (6.0, None), (7.0, 3.0), (10.0, 1.0)])
    drawn = str(plot("<i>", [line], start=0.0, end=10.0, ticks=("-10 s", "now")))
    assert len(re.findall("<polyline", drawn)) == 2
    assert "<b>" not in drawn
    assert "<i>" not in drawn


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "0 s"), (59, "59 s"), (90, "1.5 min"), (7200, "2.0 h"), (200_000, "2.3 d")]
)
def test_durations_have_one_unit(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_limits_have_an_order() -> None:
    limits = [value for value in vars(thresholds).values() if isinstance(value, thresholds.Threshold)]
    assert all(one.amber <= one.red for one in limits)
    assert (limits[0].colour(None), limits[0].colour(0)) == ("", "green")


def test_one_point_between_unknown_ones_is_drawn_as_a_short_line_and_what_came_before_is_not() -> None:
    line = Line("lag", [(-5.0, 3.0), (-4.0, None), (5.0, 2.0), (6.0, None)])
    drawn = str(plot("lag", [line], start=0.0, end=10.0, ticks=("-10 s", "now")))
    (points,) = re.findall(r'<polyline class="line0" points="([^"]*)">', drawn)
    (x1, y1), (x2, y2) = (map(float, place.split(",")) for place in points.split(" "))
    assert x2 == x1 + 1
    assert y1 == y2
