"""Sample contents of mails."""

from fraudstream.mail.letter.templates import Facts


def sample_facts(
    case: str = "3f9a-000000017", link: str = "https://bank.example/confirm/abc.def", status: str = "", name: str = ""
) -> Facts:
    """Facts for every kind of mail; `link` is the start of the answers' links."""
    return Facts(
        id=case,
        amount="9,839.64",
        type="Cash withdrawal",
        account="****6815",
        counterparty="****7155",
        time="1 October 2023, 01:00 UTC",
        name=name,
        status=status,
        answered="2 October 2023, 09:15 UTC",
        fraud_url=f"{link}/fraud",
        not_fraud_url=f"{link}/not-fraud",
        until="4 October 2023, 01:00 UTC",
    )
