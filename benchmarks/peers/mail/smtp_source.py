"""The ceiling for mails: Postfix's smtp-source. Arguments: port, mails, bytes of a mail, connections."""

import subprocess
import sys

from benchmarks.harness.outcome import timed
from local.programs.postfix import tool

if __name__ == "__main__":
    port, mails, length, connections = sys.argv[1:]
    command = [*tool("smtp-source"), "-d", "-m", mails, "-l", length, "-s", connections, f"127.0.0.1:{port}"]
    with timed() as work:
        subprocess.run(command, check=True)
        work.items = int(mails)
