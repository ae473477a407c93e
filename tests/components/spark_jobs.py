"""Runs a script again and again in one JVM, in Spark's environment. Argument: the script.

Standard input has the arguments of each run, as a line of JSON. Each run that went well is answered with ``done``; the
first one that doesn't ends this process, with what went wrong on standard error.
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
