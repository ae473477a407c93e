"""Finds promtool, which tests the alert rules: on the machine, or extracted from Debian's package."""

import os
import shutil
import subprocess

from local.programs.debian import MissingProgram, tool

BY_HAND = "sudo apt-get install prometheus    # its package has promtool"


def find_promtool() -> list[str]:
    """Returns the command that runs promtool.

    :raises MissingProgram: promtool is missing; the message has the command that installs it
    """
    try:
        return tool("promtool", ["prometheus"], "usr/bin", BY_HAND)
    except MissingProgram:
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise
    # apt on a new machine has no package lists yet
    subprocess.run(["apt-get", "-o", "DPkg::Lock::Timeout=300", "update"], check=False, capture_output=True)
    return tool("promtool", ["prometheus"], "usr/bin", BY_HAND)
