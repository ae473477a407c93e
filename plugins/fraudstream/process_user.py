"""The user who runs a command, for records that name their author."""

import argparse
import getpass


def add_by(command: argparse.ArgumentParser, meaning: str) -> None:
    """Adds the option --by, by default the user of this process; required where that has no name.

    A container may run under a uid without a name.
    """
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # KeyError up to Python 3.12
        user = None
    command.add_argument(
        "--by",
        default=user,
        required=user is None,
        metavar="NAME",
        help=f"{meaning}; default: the user of this process, if its uid has a name",
    )
