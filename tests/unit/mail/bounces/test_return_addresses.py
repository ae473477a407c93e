"""Signed return addresses identify the mail that was returned."""

from typing import Any

import pytest
from fraudstream.errors import SettingsError
from fraudstream.mail.bounces.addresses import About, ReturnAddresses
from fraudstream.mail.letter.recipients import is_address
from fraudstream.settings import Settings

from tests.unit.mail.bounces.returned_mails import CASE, KEY, OTHER_KEY, addresses

#: Has 199 characters with "bounces@".
LONG_DOMAIN = ".".join(["a" * 63, "b" * 63, "c" * 63])


class TestReturnAddresses:
    @pytest.mark.parametrize("kind", ["notice", "fraud_notice", "receipt"])
    def test_an_address_says_which_mail_it_belongs_to_whatever_servers_do_to_its_case(self, kind: Any) -> None:
        made = addresses().of(kind, CASE)
        assert made.startswith("bounces+")
        assert len(made.rpartition("@")[0]) <= 64
        for spelling in (made, made.upper(), f"<{made}>"):
            assert addresses().read(spelling) == About(kind, CASE)

    def test_nothing_that_was_changed_or_made_up_is_read(self) -> None:
        made = addresses().of("fraud_notice", CASE)
        for forged in (
            made.replace("+f", "+n"),
            made.replace("000000042", "000000043"),
            made.replace("@bank", "@other"),
            made[:9] + made[10:],
            addresses(OTHER_KEY).of("fraud_notice", CASE),
            "bounces@bank.example",
            "",
            "bounces+f1.aaaaaaaaaaaaaaaa@bank.example",
        ):
            assert addresses().read(forged) is None, forged

    def test_a_key_is_replaced_without_losing_mails_that_are_out(self) -> None:
        made = addresses(KEY).of("receipt", CASE)
        assert addresses(OTHER_KEY, KEY).read(made) == About("receipt", CASE)
        assert addresses(OTHER_KEY, KEY).of("receipt", CASE) == addresses(OTHER_KEY).of("receipt", CASE)

    def test_the_longest_return_address_is_one_that_mail_servers_take(self) -> None:
        address = addresses(sender=f"bounces@{LONG_DOMAIN}").of("fraud_notice", "0" * 36)
        assert len(address) == 254
        assert is_address(address)

    def test_without_keys_or_with_an_odd_id_the_plain_address_is_used(self) -> None:
        plain = ReturnAddresses(Settings(mail_envelope_sender="bounces@bank.example"))
        assert plain.of("notice", CASE) == "bounces@bank.example"
        assert addresses().of("notice", "an id\r\nRCPT") == "bounces@bank.example"
        assert ReturnAddresses(Settings()).of("notice", CASE) == "no-reply@bank.example"

    @pytest.mark.parametrize(
        ("values", "setting"),
        [
            ({"mail_bounce_keys": "short"}, "MAIL_BOUNCE_KEYS"),
            ({"mail_bounce_keys": KEY, "mail_envelope_sender": "a-long-local-part@bank.example"}, "ENVELOPE_SENDER"),
            ({"mail_bounce_keys": KEY, "mail_envelope_sender": f"bounces@{LONG_DOMAIN[:-1]}.d"}, "ENVELOPE_SENDER"),
            ({"mail_envelope_sender": "no address"}, "ENVELOPE_SENDER"),
        ],
    )
    def test_what_can_not_work_is_refused_by_name(self, values: dict[str, str], setting: str) -> None:
        with pytest.raises(SettingsError, match=setting):
            ReturnAddresses(Settings(**values))
