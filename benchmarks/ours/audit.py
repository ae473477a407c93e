"""Runs the audit of audit_lake over the whole lake.

Arguments: ``on`` audits only from the saved position on; ``save`` saves the position at the end.
"""

import sys
from datetime import UTC, datetime

from fraudstream.lake.audit import position
from fraudstream.lake.audit.audit import audit
from fraudstream.lake.audit.report import problems
from fraudstream.lake.table.lake import Lake
from fraudstream.settings import Settings

from benchmarks.harness.outcome import timed

if __name__ == "__main__":
    settings = Settings()
    lake = Lake.connect(settings)
    with timed() as work:
        report = audit(settings, lake, position=position.load(lake.store) if "on" in sys.argv else None)
        work.items = report.total("expected")
        work.also["ok"] = report.ok
        work.also["problems"] = problems(report)
        work.also["behind"] = report.total("behind")
    if "save" in sys.argv:
        position.save(lake.store, report.position, datetime.now(UTC))
