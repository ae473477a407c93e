"""Commands that record their user work under a uid without a name, as a container may have."""

import getpass
import sys
from typing import Any

import pytest
from fraudstream.cases import __main__ as cases
from fraudstream.errors import FraudstreamError
from fraudstream.mail import __main__ as mail

DECIDE = (cases, "decide", ["decide", "case-1", "--outcome", "REPORTED_FRAUD", "--reason", "called"])
RESEND = (mail, "resend", ["resend", "--open"])


def run(monkeypatch: pytest.MonkeyPatch, command: Any, function: str, arguments: list[str]) -> list[str]:
    """The user name in what the command would write."""
    found: list[str] = []

    def writes(*_: Any, by: str, **__: Any) -> None:
        found.append(by)
        raise FraudstreamError("nothing is written here")

    class Cases:
        transactions: tuple[str, ...] = ()
        closed: tuple[str, ...] = ()

        def chosen(self, *_: Any, **__: Any) -> list[str]:
            return []

    monkeypatch.setattr(mail, "read_cases", lambda settings: Cases())
    monkeypatch.setattr(command, function, writes)
    monkeypatch.setattr(sys, "argv", ["command", *arguments])
    assert command.main() == 1
    return found


@pytest.mark.parametrize("called", [DECIDE, RESEND], ids=["decide", "resend"])
@pytest.mark.parametrize("error", [KeyError("uid not found: 12345"), OSError("No username set in the environment")])
def test_a_uid_without_a_name_needs_the_option_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], called: Any, error: Exception
) -> None:
    def getuser() -> str:
        raise error

    monkeypatch.setattr(getpass, "getuser", getuser)
    command, function, arguments = called
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, command, function, arguments)
    assert "required: --by" in capsys.readouterr().err
    assert run(monkeypatch, command, function, [*arguments, "--by", "ana"]) == ["ana"]


@pytest.mark.parametrize("called", [DECIDE, RESEND], ids=["decide", "resend"])
def test_by_default_it_is_the_user_of_the_process(monkeypatch: pytest.MonkeyPatch, called: Any) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "ben")
    assert run(monkeypatch, *called) == ["ben"]
