"""Runs a script repeatedly in one JVM, in Spark's environment. Argument: the script.

Standard input has the arguments of each run as a line of JSON. A successful run is answered with ``done``. The first
failed run ends this process, with its error on standard error.
"""

import json
import runpy
import sys

if __name__ == "__main__":
    script = sys.argv[1]
    for line in sys.stdin:
        sys.argv = [script, *json.loads(line)]
        runpy.run_path(script, run_name="__main__")
        print("done", flush=True)
