"""The client of Airflow's REST API repeats a change that the database ended with a deadlock."""

import httpx
import pytest

from local.demo import airflow_api
from local.demo.airflow_api import AirflowApi


def api(monkeypatch: pytest.MonkeyPatch, *statuses: int) -> tuple[AirflowApi, list[str]]:
    """A client whose PATCH requests get these responses, and the paths that it asked for."""
    answers, asked = iter(statuses), list[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(201, json={"access_token": "token"})
        asked.append(request.url.path)
        return httpx.Response(next(answers), json={})

    client = httpx.Client
    monkeypatch.setattr(airflow_api, "_PATCH_SECONDS", 0)
    monkeypatch.setattr(
        airflow_api.httpx, "Client", lambda **options: client(**options, transport=httpx.MockTransport(answer))
    )
    return AirflowApi("http://127.0.0.1:1"), asked


def test_a_change_that_met_a_deadlock_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    client, asked = api(monkeypatch, 500, 500, 200)
    client.end("dag", "run")
    assert asked == ["/api/v2/dags/dag/dagRuns/run"] * 3


@pytest.mark.parametrize(("statuses", "times"), [([500] * 9, 5), ([404, 200], 1)])
def test_a_change_that_is_refused_or_goes_on_failing_is_an_error(
    statuses: list[int], times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, asked = api(monkeypatch, *statuses)
    with pytest.raises(httpx.HTTPStatusError):
        client.pause("dag", True)
    assert len(asked) == times
