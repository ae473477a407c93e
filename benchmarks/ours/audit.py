"""audit_lake over everything there is."""

from fraudstream.lake.audit.audit import audit
from fraudstream.lake.table.lake import Lake
from fraudstream.settings import Settings

from benchmarks.outcome import timed

if __name__ == "__main__":
    settings = Settings()
    with timed() as work:
        report = audit(settings, Lake.connect(settings))
        work.items = report.total("expected")
        work.also["ok"] = report.ok
