"""The rate of mails: the configured limit, a lower rate while the server throttles, and the way back."""

from math import inf

import pytest
from fraudstream.mail.smtp.pace import Pace


class Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def taken(pace: Pace, mails: int) -> None:
    for _ in range(mails):
        pace.accepted()


def throttled(clock: Clock, mails: int) -> Pace:
    """A pace without a configured limit, whose server accepted this many mails in a second before it throttled."""
    pace = Pace(clock=clock)
    taken(pace, mails)
    clock.seconds += 1
    pace.slow_down()
    return pace


def test_without_a_limit_every_mail_goes_at_once(clock: Clock) -> None:
    pace = Pace(clock=clock)
    assert all(pace.take() for _ in range(1_000))
    assert not pace.slowed


def test_a_limit_lets_so_many_mails_go_in_a_second(clock: Clock) -> None:
    pace = Pace(10, clock)
    gone = 0
    for _ in range(200):
        gone += pace.take()
        clock.seconds += 1 / 64
    assert gone == 1 + 200 * 10 // 64
    assert not pace.slowed


def test_after_a_time_without_mails_a_tenth_of_a_second_of_them_goes_at_once(clock: Clock) -> None:
    pace = Pace(100, clock)
    clock.seconds += 60
    assert sum(pace.take() for _ in range(100)) == 1 + 10


def test_a_server_that_throttles_gets_seven_tenths_of_what_it_took(clock: Clock) -> None:
    pace = throttled(clock, 100)
    assert pace.slowed
    assert pace.rate == pytest.approx(70)


@pytest.mark.parametrize(("passed", "seconds"), [(0.0, 0.05), (0.05, 0.05), (0.5, 0.5), (1.0, 1.0), (1.75, 1.0)])
def test_what_it_took_is_measured_over_a_twentieth_of_a_second_at_least_and_a_second_at_most(
    clock: Clock, passed: float, seconds: float
) -> None:
    pace = Pace(clock=clock)
    clock.seconds += 7
    assert pace.take()
    taken(pace, 10)
    clock.seconds += passed
    pace.slow_down()
    assert pace.rate == pytest.approx(0.7 * 10 / seconds)


def test_refusals_of_one_second_are_one_step_and_of_two_seconds_are_two(clock: Clock) -> None:
    pace = throttled(clock, 100)
    taken(pace, 50)
    pace.slow_down()
    assert pace.rate == pytest.approx(70)
    clock.seconds += 1
    pace.slow_down()
    assert pace.rate == pytest.approx(0.7 * 50)


def test_the_slowest_is_a_mail_a_second(clock: Clock) -> None:
    assert throttled(clock, 1).rate == 1


def test_a_server_that_took_nothing_is_not_slowed_down(clock: Clock) -> None:
    assert throttled(clock, 0).rate == inf


@pytest.mark.parametrize(("took", "rate"), [(100, 70 * 1.1), (4, 2.8 + 1)])
def test_it_grows_by_a_tenth_and_at_least_by_one_in_a_second_without_a_refusal(
    clock: Clock, took: int, rate: float
) -> None:
    pace = throttled(clock, took)
    clock.seconds += 1
    assert pace.take()
    assert pace.rate == pytest.approx(rate)


def test_it_is_without_a_limit_again_in_the_end(clock: Clock) -> None:
    pace = throttled(clock, 100)
    for _ in range(70):
        clock.seconds += 1
        pace.take()
    assert pace.rate == inf


def test_after_ten_minutes_without_a_mail_the_server_has_forgotten(clock: Clock) -> None:
    pace = throttled(clock, 100)
    clock.seconds += 601
    assert pace.take()
    assert pace.rate == inf
    pace.slow_down()  # the rate of ten minutes ago doesn't matter now
    assert pace.rate == inf
