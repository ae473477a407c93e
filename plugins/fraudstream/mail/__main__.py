"""``python -m fraudstream.mail bounces`` receives returned mails; ``resend`` sends fraud notices again."""

import argparse
import asyncio
import logging
import signal
import sys

import uvloop

from fraudstream.cases.events import CaseEvents
from fraudstream.errors import FraudstreamError, SettingsError
from fraudstream.mail.bounces.addresses import ReturnAddresses
from fraudstream.mail.bounces.receiver import Bounces, smtp_protocol
from fraudstream.mail.bounces.webhook import create_webhook
from fraudstream.mail.resend import REASONS, read_cases, resend
from fraudstream.process_user import add_by
from fraudstream.settings import Settings, get_settings
from fraudstream.site.serving import listening, server

logger = logging.getLogger("fraudstream.mail")


async def take_bounces(settings: Settings) -> None:
    """Runs the receiver of returned mails and the webhook until SIGTERM or Ctrl-C.

    :raises SettingsError: there are no bounce keys, or a bind address can't be used
    """
    addresses = ReturnAddresses(settings)
    if not addresses.signed:
        raise SettingsError(
            "FRAUDSTREAM_MAIL_BOUNCE_KEYS is empty: without keys no return address says which mail it belongs to;"
            " set the same keys here and for send_mail"
        )
    bounces = Bounces(addresses, CaseEvents(settings))
    keys = [key.get_secret_value() for key in settings.mail_webhook_keys]
    loop = asyncio.get_running_loop()
    with (
        listening(settings.mail_bounce_bind, "FRAUDSTREAM_MAIL_BOUNCE_BIND") as smtp,
        listening(settings.mail_webhook_bind, "FRAUDSTREAM_MAIL_WEBHOOK_BIND") as http,
    ):
        receiver = await loop.create_server(smtp_protocol(bounces, addresses.domain), sock=smtp)
        web = server(create_webhook(bounces, keys))

        def end() -> None:
            web.should_exit = True

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
        logger.info(
            "mails returned to %s are taken at %s, webhook and metrics at %s",
            addresses.domain,
            settings.mail_bounce_bind,
            settings.mail_webhook_bind,
        )
        async with receiver:
            await web.serve(sockets=[http])


def send_again(settings: Settings, arguments: argparse.Namespace) -> int:
    """Sends the chosen notices again and prints the result. Returns the exit code: 1 if a requested case is refused."""
    if not (arguments.case or arguments.reason or arguments.open):
        print("say which: --case ID, --reason REASON or --open", file=sys.stderr)
        return 2
    cases = read_cases(settings)
    missing = [case for case in arguments.case if case not in cases.transactions]
    closed = [case for case in arguments.case if case in cases.closed]
    chosen = cases.chosen(set(arguments.case), arguments.reason, every=arguments.open)
    found = resend(settings, cases, chosen, by=arguments.by, dry_run=arguments.dry_run)
    for case in missing:
        print(f"{case}: no such case")
    for case in closed:
        print(f"{case}: has an outcome already, nothing is sent")
    for case, reason in found.refused.items():
        print(f"{case}: {reason}")
    what = "would be sent again" if arguments.dry_run else "go out with the next run of DAG retry_mails"
    print(f"{len(found.letters)} fraud notices {what}")
    return 1 if missing or closed or found.refused else 0


def main() -> int:
    """Runs a command. Returns 0 if all was done, 1 for an error or a refused case (printed), 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m fraudstream.mail", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("bounces", help="receive returned mails and a provider's webhook until SIGTERM")
    again = commands.add_parser("resend", help="send fraud notices of open cases again: new links, same case")
    again.add_argument("--case", action="append", default=[], metavar="ID", help="this case; may be given repeatedly")
    again.add_argument(
        "--reason", action="append", default=[], choices=REASONS, help="cases whose last notice ended this way"
    )
    again.add_argument("--open", action="store_true", help="all open cases")
    add_by(again, "the name in the case's event")
    again.add_argument("--dry-run", action="store_true", help="only print what would be sent")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        if arguments.command == "resend":
            return send_again(get_settings(), arguments)
        uvloop.run(take_bounces(get_settings()))
    except FraudstreamError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
