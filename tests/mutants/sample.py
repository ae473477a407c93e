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
        jobs = sorted(item.job_id for item in db.work_items)
        # the ids are random: their places in the code decide
        places = {item.job_id: str(item.mutations) for item in db.work_items}
        jobs.sort(key=places.__getitem__)
        random.Random(seed).shuffle(jobs)  # noqa: S311  no secret
        for job in jobs[number:]:
            db.set_result(job, WorkResult(worker_outcome=WorkerOutcome.SKIPPED))
    print(len(jobs))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
