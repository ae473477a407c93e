"""Creates the lake's bucket and a generated dataset in it, unless they exist; for profile local."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from fraudstream.settings import get_settings
from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import Conflict
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

ROWS = 20_000


def main() -> None:
    """Creates what is missing. An existing bucket or dataset isn't changed."""
    settings = get_settings()
    endpoint = ClientOptions(api_endpoint=os.environ["STORAGE_EMULATOR_HOST"])
    client = storage.Client("local", AnonymousCredentials(), client_options=endpoint)
    try:
        client.create_bucket(settings.lake_bucket)
    except Conflict:
        print(f"bucket {settings.lake_bucket} exists")
    bucket, _, name = settings.dataset.removeprefix("gs://").partition("/")
    dataset = client.bucket(bucket).blob(name)
    if dataset.exists():
        print(f"{settings.dataset} exists")
        return
    with TemporaryDirectory() as folder:
        file = Path(folder) / "paysim.csv"
        generate = ["-m", "fraudstream.dataset", "generate", "--rows", str(ROWS), "--seed", "1", "--out", str(file)]
        subprocess.run([sys.executable, *generate], check=True)
        dataset.upload_from_filename(str(file))
    print(f"{settings.dataset}: {ROWS:,} generated rows")


if __name__ == "__main__":
    main()
