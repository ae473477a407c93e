"""Limits of requests by client and by case, also behind proxies."""

from collections.abc import Callable

import pytest
from fraudstream.settings import Settings
from pydantic import ValidationError

from tests.fakes.cases import transaction
from tests.unit.site.conftest import Site, words


class TestLimits:
    def test_one_client_is_slowed_down_and_others_are_not(self, make_site: Callable[..., Site]) -> None:
        site = make_site(confirmation_requests_per_minute=5)
        codes = [site.browser.get(site.url()).status_code for _ in range(7)]
        assert codes == [200] * 5 + [429] * 2
        refused = site.browser.get(site.url())
        assert refused.headers["retry-after"] == "60"
        assert "Nothing is recorded" in words(refused.text)
        site.browser._transport.client = ("198.51.100.9", 50_000)  # type: ignore[attr-defined]
        assert site.browser.get(site.url()).status_code == 200

    def test_one_case_is_slowed_down_whoever_asks(self, make_site: Callable[..., Site]) -> None:
        site = make_site(confirmation_requests_per_minute=10_000)
        codes = [site.browser.get(site.url()).status_code for _ in range(61)]
        assert codes[:60] == [200] * 60
        assert codes[60] == 429
        site.cases.add(transaction("case-2"))
        assert site.browser.get(site.url(case="case-2")).status_code == 200

    def test_forwarded_addresses_are_believed_from_configured_proxies_only(
        self, make_site: Callable[..., Site]
    ) -> None:
        for proxies, codes in (([], [200, 200, 429]), (["203.0.113.0/24"], [200, 200, 200])):
            site = make_site(confirmation_requests_per_minute=2, confirmation_trusted_proxies=proxies)
            found = [
                site.browser.get(site.url(), headers={"X-Forwarded-For": f"198.51.100.{n}"}).status_code
                for n in range(3)
            ]
            assert found == codes


class TestBehindGooglesLoadBalancer:
    """It appends two entries to X-Forwarded-For: the client's address and that of its forwarding rule."""

    FRONT_ENDS = ("35.191.0.0/16", "130.211.0.0/22")
    OWN = "34.120.5.6"

    def visits(
        self, make_site: Callable[..., Site], headers: list[str], peer: str = "35.191.7.9", own: str = OWN
    ) -> list[int]:
        """The status of a visit with each header, with a limit of two requests per minute and client."""
        proxies = [*self.FRONT_ENDS, own]
        site = make_site(peer, confirmation_requests_per_minute=2, confirmation_trusted_proxies=proxies)
        return [site.browser.get(site.url(), headers={"X-Forwarded-For": h}).status_code for h in headers]

    def test_each_customer_is_a_client_of_its_own(self, make_site: Callable[..., Site]) -> None:
        assert self.visits(make_site, [f"198.51.100.{n}, {self.OWN}" for n in range(5)]) == [200] * 5

    def test_one_customer_is_slowed_down_whatever_it_claims_to_have_forwarded(
        self, make_site: Callable[..., Site]
    ) -> None:
        claims = ["", "10.0.0.1, ", "192.0.2.1, 192.0.2.2, ", "unknown, ", f"{self.OWN}, 35.191.0.1, "]
        codes = self.visits(make_site, [f"{claim}198.51.100.7, {self.OWN}" for claim in claims])
        assert codes == [200, 200, 429, 429, 429]

    def test_without_the_balancers_own_address_all_customers_would_be_one_client(
        self, make_site: Callable[..., Site]
    ) -> None:
        headers = [f"198.51.100.{n}, {self.OWN}" for n in range(3)]
        assert self.visits(make_site, headers, own="34.9.9.9") == [200, 200, 429], "the reason for the setting"

    def test_ipv4_is_ipv4_however_a_socket_for_both_protocols_writes_it(self, make_site: Callable[..., Site]) -> None:
        mapped = [f"::ffff:198.51.100.{n}, ::ffff:{self.OWN}" for n in range(5)]
        assert self.visits(make_site, mapped, peer="::ffff:35.191.7.9") == [200] * 5
        one = [f"{spelling}, {self.OWN}" for spelling in ("198.51.100.7", "::ffff:198.51.100.7", "::FFFF:c633:6407")]
        assert self.visits(make_site, one) == [200, 200, 429]

    def test_a_household_is_one_client_of_ipv6(self, make_site: Callable[..., Site]) -> None:
        same = [f"2001:db8:1:2::{n}, {self.OWN}" for n in range(1, 4)]
        assert self.visits(make_site, same) == [200, 200, 429]
        others = [f"2001:db8:1:{n}::1, {self.OWN}" for n in range(1, 4)]
        assert self.visits(make_site, others) == [200] * 3

    def test_who_reaches_the_site_past_the_balancer_is_believed_nothing(self, make_site: Callable[..., Site]) -> None:
        headers = [f"198.51.100.{n}, {self.OWN}" for n in range(3)]
        assert self.visits(make_site, headers, peer="203.0.113.7") == [200, 200, 429]

    @pytest.mark.parametrize("wrong", ["*", "10.0.0.1/8", "balancer", ""])
    def test_what_is_no_address_or_network_is_refused(self, wrong: str) -> None:
        with pytest.raises(ValidationError, match="expected addresses or networks"):
            Settings(confirmation_trusted_proxies=["10.0.0.0/8", wrong])
