"""The option --by: the person who runs a command, for records that name their author."""

import argparse
import getpass


def add_by(command: argparse.ArgumentParser, meaning: str) -> None:
    """Adds the option --by. Its default is the name of the user who runs this process.

    If the user's uid has no name, as it may be in a container, the option is required.
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
