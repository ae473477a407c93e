"""What the site logs and counts."""

import pytest

from tests.unit.site.conftest import Site


class TestLogAndFigures:
    def test_no_log_line_holds_a_token(self, site: Site, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("DEBUG")
        url = site.url()
        token = url.rsplit("/", 2)[1]
        site.press()
        site.browser.get(url.replace(token, token[:-3] + "abc"))
        site.browser.get(url.replace("/fraud", "/nonsense"))
        ours = [record.getMessage() for record in caplog.records if record.name.startswith("fraudstream")]
        assert "GET /confirm/{token}/{proposal} 200" in " ".join(ours)
        assert not [line for line in ours if token in line or token.rpartition(".")[2][:20] in line]

    def test_who_was_served_is_counted_not_logged_and_who_was_refused_is_both(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO", logger="fraudstream")
        site.press()
        assert not [record for record in caplog.records if "203.0.113.7" in record.getMessage()]
        site.browser.get("/confirm/forged/fraud")
        (line,) = [record.getMessage() for record in caplog.records if "203.0.113.7" in record.getMessage()]
        assert line.startswith("GET /confirm/{token}/{proposal} 404 ")

    def test_requests_answers_and_refusals_are_counted(self, site: Site) -> None:
        site.press()
        site.browser.post(site.url(), data={"answer": "fraud", "page": "x"})
        site.browser.get("/confirm/forged/fraud")
        figures = site.metrics.text().decode()
        assert 'fraudstream_site_answers_total{result="first"} 1.0' in figures
        assert 'fraudstream_site_answers_total{result="late"} 1.0' in figures
        assert 'fraudstream_site_refused_links_total{reason="invalid"} 1.0' in figures
        route = 'route="/confirm/{token}/{proposal}"'
        assert f'fraudstream_site_requests_total{{method="GET",{route},status="404"}} 1.0' in figures
