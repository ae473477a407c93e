"""audit_lake over everything there is."""

from fraudstream.lake.audit.audit import audit
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.settings import Settings
from google.cloud import storage

from benchmarks.outcome import timed

if __name__ == "__main__":
    settings = Settings()
    with timed() as work:
        report = audit(settings, Store(storage.Client(), settings.lake_bucket))
        work.items = report.total("expected")
        work.also["ok"] = report.ok
