"""``python -m tests.mutants.sample SESSION NUMBER SEED``: leaves so many mutants of a session, chosen at random.

Runs in the environment of cosmic-ray, whose sessions have no limit of their own.
"""

import random
import sys

from cosmic_ray.work_db import use_db
from cosmic_ray.work_item import WorkerOutcome, WorkResult


def main(session: str, number: int, seed: int) -> None:
    """Marks all others as skipped; prints how many there are in all."""
    with use_db(session) as db:
        # A `|` is nearly always part of a type here, and most of those are never evaluated.
        items = [item for item in db.work_items if "_BitOr_" not in item.mutations[0].operator_name]
        items.sort(key=lambda item: str(item.mutations))  # the ids are random
        random.Random(seed).shuffle(items)  # noqa: S311  no secret
        chosen = {item.job_id for item in items[:number]}
        for item in list(db.work_items):
            if item.job_id not in chosen:
                db.set_result(item.job_id, WorkResult(worker_outcome=WorkerOutcome.SKIPPED))
    print(len(items))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
