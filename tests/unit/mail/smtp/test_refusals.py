"""What a refusal is about, and the shares of refusals in a group from which they concern all mails."""

import pytest
from fraudstream.mail.smtp.conversation import Mail, Stage
from fraudstream.mail.smtp.refusals import About, Refusals, Verdict, about, replies_of


class TestOneReply:
    @pytest.mark.parametrize("stage", list(Stage))
    @pytest.mark.parametrize("code", [530, 534, 535, 538])
    def test_a_login_that_is_wanted_is_about_the_account_at_every_command(self, stage: Stage, code: int) -> None:
        assert about(stage, code, "no", fresh=False) is About.ACCOUNT

    @pytest.mark.parametrize("stage", list(Stage))
    def test_421_is_about_the_session_at_every_command(self, stage: Stage) -> None:
        assert about(stage, 421, "closing", fresh=True) is About.SESSION

    @pytest.mark.parametrize(
        ("code", "fresh", "found"),
        [
            (400, True, About.SESSION),
            (499, True, About.SESSION),
            (500, True, About.ACCOUNT),
            (550, True, About.ACCOUNT),
            (450, False, About.SESSION),
            (550, False, About.SESSION),  # the session may have reached its limit of mails
        ],
    )
    def test_a_refused_sender_is_about_the_session_or_for_good_on_a_new_one_about_the_account(
        self, code: int, fresh: bool, found: About
    ) -> None:
        assert about(Stage.MAIL, code, "no", fresh=fresh) is found

    @pytest.mark.parametrize("stage", [Stage.RCPT, Stage.DATA, Stage.CONTENT])
    @pytest.mark.parametrize(
        ("code", "reply", "found"),
        [
            (450, "Greylisted", About.MAILBOX_FOR_NOW),
            (499, "4.7.1 gray-listing in action", About.MAILBOX_FOR_NOW),
            (500, "greylisted", About.UNDECIDED),
            (500, "5.1.1 no such mailbox", About.MAILBOX_FOR_GOOD),
            (550, "5.1.10 recipient not found", About.MAILBOX_FOR_GOOD),
            (550, "5.7.1 spam", About.UNDECIDED),
            (499, "5.1.1 odd", About.UNDECIDED),
            (550, "no", About.UNDECIDED),
            (450, "no", About.UNDECIDED),
        ],
    )
    def test_only_words_and_codes_about_the_mailbox_say_that_it_is_about_the_mailbox(
        self, stage: Stage, code: int, reply: str, found: About
    ) -> None:
        assert about(stage, code, reply, fresh=True) is found


def group(*, taken: int = 0, later: int = 0, never: int = 0, reply: str = "550 no") -> Refusals:
    """The replies to a group of mails."""
    made = Refusals()
    for _ in range(taken):
        made.accepted()
    for number in range(later):
        made.refused(Mail(f"later-{number}", b""), 450, "450 busy")
    for number in range(never):
        made.refused(Mail(f"never-{number}", b""), int(reply[:3]), reply)
    return made


def sizes(verdict: Verdict) -> dict[str, int]:
    found = {name: len(getattr(verdict, name)) for name in ("deferred", "failed", "throttled", "account")}
    return {name: size for name, size in found.items() if size}


class TestGroups:
    def test_4xx_and_5xx_are_told_apart_at_500(self) -> None:
        made = Refusals()
        made.refused(Mail("a", b""), 499, "499 later")
        made.refused(Mail("b", b""), 500, "500 never")
        found = made.verdict(slowed=False)
        assert [reply for _, reply in found.deferred] == ["499 later"]
        assert [reply for _, reply in found.failed] == ["500 never"]

    def test_a_group_is_full_with_twenty_answers_of_any_kind(self) -> None:
        assert not group(taken=9, later=5, never=5).full
        assert group(taken=9, later=6, never=5).full

    def test_twenty_mails_that_are_taken_begin_a_new_group(self) -> None:
        made = group(taken=20, later=10)
        assert not made.full
        assert sizes(made.verdict(slowed=False)) == {"throttled": 10}

    def test_mails_that_are_taken_after_a_refusal_stay_in_its_group(self) -> None:
        made = group(later=1)
        for _ in range(19):
            made.accepted()
        assert made.full
        assert sizes(made.verdict(slowed=False)) == {"deferred": 1}

    @pytest.mark.parametrize(
        ("taken", "later", "throttled"),
        [
            (0, 9, False),  # too few to conclude something about all mails
            (0, 10, True),
            (10, 10, True),  # half of them
            (11, 10, False),
        ],
    )
    def test_a_server_that_refuses_half_of_at_least_ten_for_now_throttles(
        self, taken: int, later: int, throttled: bool
    ) -> None:
        made = Refusals()
        for number in range(later):
            made.refused(Mail(f"later-{number}", b""), 450, "450 busy")
        for _ in range(taken):
            made.accepted()
        assert sizes(made.verdict(slowed=False)) == {"throttled" if throttled else "deferred": later}

    @pytest.mark.parametrize(
        ("taken", "later", "throttled"),
        [
            (9, 1, True),  # a tenth of them
            (10, 1, False),
            (0, 9, False),  # nothing is accepted: this isn't throttling
            (0, 10, True),
        ],
    )
    def test_one_that_was_slowed_down_throttles_when_it_refuses_a_tenth_for_now(
        self, taken: int, later: int, throttled: bool
    ) -> None:
        made = group(later=later)
        for _ in range(taken):
            made.accepted()
        assert sizes(made.verdict(slowed=True)) == {"throttled" if throttled else "deferred": later}

    @pytest.mark.parametrize(
        ("taken", "never", "reply", "account"),
        [
            (0, 9, "550 no", False),
            (0, 10, "550 no", True),
            (1, 10, "550 no", False),  # the account may send mails
            (0, 2, "554 Relay access denied", False),
            (0, 3, "554 Relay access denied", True),
            (0, 3, "550 authentication needed", True),
            (0, 3, "550 not logged in", True),
            (1, 3, "554 Relay access denied", False),
        ],
    )
    def test_the_same_5xx_to_ten_mails_or_to_three_with_its_cause_is_about_the_account(
        self, taken: int, never: int, reply: str, account: bool
    ) -> None:
        made = group(taken=taken, never=never, reply=reply)
        assert sizes(made.verdict(slowed=False)) == {"account" if account else "failed": never}

    @pytest.mark.parametrize(("others", "account"), [(2, True), (3, False)])
    def test_nine_tenths_are_nearly_all(self, others: int, account: bool) -> None:
        made = group(never=18)
        for number in range(others):
            made.refused(Mail(f"other-{number}", b""), 552, "552 full")
        assert sizes(made.verdict(slowed=False)) == {"account" if account else "failed": 18 + others}

    @pytest.mark.parametrize(
        ("replies", "account"),
        [
            (["554 relay denied", "550 relay denied", "554 relay denied"], True),
            (["554 relay denied", "550 no", "550 no"], False),
            (["554 relay denied"] * 9 + ["550 no"], True),
            (["554 relay denied"] * 8 + ["550 no"] * 2, False),
        ],
    )
    def test_the_cause_must_be_named_to_nearly_all_under_whatever_code(self, replies: list[str], account: bool) -> None:
        made = Refusals()
        for reply in replies:
            made.refused(Mail("c", b""), int(reply[:3]), reply)
        assert sizes(made.verdict(slowed=False)) == {"account" if account else "failed": len(replies)}

    def test_the_same_5xx_is_counted_over_groups_until_a_mail_is_taken_or_another_code_comes(self) -> None:
        def verdicts(*steps: tuple[int, str]) -> list[str]:
            made, found = Refusals(), []
            for number, reply in steps:
                for _ in range(number):
                    if reply == "taken":
                        made.accepted()
                    else:
                        made.refused(Mail("c", b""), int(reply[:3]), reply)
                if reply != "taken":
                    found += sizes(made.verdict(slowed=False))
                else:
                    made.forget()
            return found

        assert verdicts((5, "550 no"), (5, "550 no")) == ["failed", "account"]
        assert verdicts((5, "550 no"), (4, "550 no")) == ["failed", "failed"]
        assert verdicts((5, "550 no"), (1, "taken"), (5, "550 no")) == ["failed", "failed"]
        assert verdicts((5, "550 no"), (5, "554 no")) == ["failed", "failed"]
        assert verdicts((2, "554 relay denied"), (1, "554 relay denied")) == ["failed", "account"]

    def test_a_verdict_ends_the_group(self) -> None:
        made = group(taken=3, later=3, never=3)
        made.verdict(slowed=False)
        assert len(made) == 0
        assert sizes(made.verdict(slowed=False)) == {}
        assert not made.full

    def test_the_reply_that_most_mails_got_is_told(self) -> None:
        refused = [(Mail("a", b""), reply) for reply in ("450 busy", "452 full", "452 full")]
        assert replies_of(refused) == "452 full"
