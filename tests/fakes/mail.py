"""What a mail says, for tests that send one."""

from fraudstream.mail.letter.templates import Facts


def sample_facts(
    case: str = "3f9a-000000017", link: str = "https://bank.example/confirm/abc.def", status: str = ""
) -> Facts:
    """Facts that every kind of mail can show; the answers stand behind `link`."""
    return Facts(
        id=case,
        amount="9,839.64",
        type="Cash out",
        account="C1231006815",
        counterparty="M1979787155",
        time="2023-10-01 01:00 UTC",
        status=status,
        answered="2023-10-02 09:15 UTC",
        fraud_url=f"{link}/fraud",
        not_fraud_url=f"{link}/not-fraud",
        until="2023-10-04 01:00 UTC",
    )
