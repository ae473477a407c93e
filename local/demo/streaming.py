"""The main stage of the demo: rows are produced and consumed, and customers and staff act.

Numbered as in the code:

1. Rows are produced. One customer in ten has no mailbox; the mail server returns that customer's mails.
2. When all fraud notices are sent, most customers answer.
3. watch_cases reminds the others, retry_mails sends the reminders, and some of these customers answer.
4. watch_cases escalates cases: those with a returned notice and those without an answer. Staff decides one of them.
5. The time of the other cases runs out. The stage ends when lake, mail log and events are complete.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from fraudstream.cases.answers.decisions import needs_second_person
from fraudstream.cases.events import MAIL_BOUNCED
from fraudstream.cases.links.signed import Links as SignedLinks
from fraudstream.cases.watch.state import CaseState, read_states
from fraudstream.settings import ROOT, Settings

from local.demo.airflow_api import AirflowApi, RunFailed
from local.demo.bounces import bounce_receiver
from local.demo.counts import Counts
from local.demo.customers import NO_MAILBOX, Habit, answer_all, habits_of
from local.demo.mails import FRAUD_NOTICE, Links, Mails
from local.demo.stages import Bars, Stages

#: The DAGs that remind customers and escalate cases.
WATCH, RETRY = "watch_cases", "retry_mails"
#: Seconds from a mail's arrival in the inbox until its case's time starts: log and event are written in between.
_ACCEPTED_WITHIN = 3.0


class Streaming:
    """The rows of one file in the pipeline."""

    def __init__(
        self,
        stages: Stages,
        airflow: AirflowApi,
        counts: Counts,
        mails: Mails,
        chromium: str | None,
        dataset: dict[str, int],
    ) -> None:
        self._stages, self._console = stages, stages.console
        self._airflow, self._counts, self._mails, self._chromium = airflow, counts, mails, chromium
        self._good, self._frauds = dataset["rows"] - dataset["rejected"], dataset["fraud"]
        self._settings = Settings()
        self._limit = self._settings.confirmation_time_limit_seconds
        self._links = SignedLinks(self._settings)
        self._notices: dict[str, Links] = {}
        self._reminders: dict[str, Links] = {}
        #: The number of reminders that arrived.
        self.reminder_mails = 0

    def run(self, conf: dict[str, Any]) -> None:
        """Runs the stage. At its end everything is written, and watch_cases and retry_mails are paused."""
        with bounce_receiver() as port:
            no_mailbox = self._counts.fraud_addresses[NO_MAILBOX]
            if not self._mails.return_mails(no_mailbox, port):
                self._console.print("smtp-sink returns no mails: every customer has a mailbox")
            try:
                self._run(conf)
            finally:
                self._mails.return_mails([], 0)

    def _run(self, conf: dict[str, Any]) -> None:
        started = datetime.now(UTC)
        self._before = self._counts.watched()
        opened_before, resolved_before = self._opened(), self._resolved()
        # 1
        self._producing = self._airflow.trigger("produce_transactions", conf)
        with Bars(self._stages) as self._bars:
            good, frauds = self._good, self._frauds
            for name, total in (
                ("produced", good),
                ("in the lake", good + frauds),
                ("mailed", good + frauds),
                ("cases waiting", frauds),
                ("answered", frauds),
            ):
                self._bars.add(name, total)
            self._opened_before = opened_before
            self._until(self._frauds_mailed, 300 + good / 300, "mailing the frauds")
            # 2
            mailed_at = time.monotonic()
            # An answer needs no waiting sensor. On a slow machine customers answer before all sensors wait.
            in_time = mailed_at + self._limit / 3
            self._until(
                lambda: self._bars.full("cases waiting") or time.monotonic() > in_time, 60 + frauds, "opening the cases"
            )
            habits = habits_of(list(self._notices))
            self._answer(habits)
            # 3
            self._remind([case for case, habit in habits.items() if habit.late], habits, mailed_at)
            # 4
            decided = self._decide(started)
            if self._wait_for(mailed_at, self._settings.confirmation_escalation):
                self._dag(WATCH)
                if not decided:
                    self._decide(started)
            # 5
            self._until(lambda: self._bars.full("answered"), 300 + 2 * frauds, "waiting for the outcomes")
            self._until(
                lambda: self._bars.full("cases waiting") and self._resolved() - resolved_before >= frauds,
                120 + frauds,
                "resolving sensors",
            )
            self._end_watching()
            self._until(self._written, 300 + good / 200, "lake, mail and events")
        self._airflow.wait("produce_transactions", self._producing, 60)

    def _answer(self, habits: dict[str, Habit]) -> None:
        prompt = {case: habit for case, habit in habits.items() if habit.presses and not habit.late}
        late, said = answer_all([self._notices[case] for case in prompt], list(prompt.values()), self._chromium)
        self._console.print(f"{len(prompt) - late} customers answered, {len(habits) - len(prompt) + late} didn't yet")
        if said:
            self._console.print(f"one of them in {self._chromium}, where the page said: {said}")

    def _remind(self, late: list[str], habits: dict[str, Habit], mailed_at: float) -> None:
        """Waits for the reminders of the `late` customers until the time limit, and answers for those who got one."""
        if not self._settings.confirmation_reminders or not self._wait_for(
            mailed_at, self._settings.confirmation_reminders[0]
        ):
            return
        over = mailed_at + self._limit

        def reminded() -> bool:
            self._read_mails()
            return set(late) <= self._reminders.keys() or time.monotonic() > over

        self._dag(WATCH)
        while True:
            run = self._airflow.trigger(RETRY, {})
            self._until(lambda: reminded() or self._ended(RETRY, run), self._limit + 60, "sending reminders")  # noqa: B023
            if reminded():
                break
            self._dag(WATCH)
        there = [case for case in late if case in self._reminders]
        slow, _ = answer_all([self._reminders[case] for case in there], [habits[case] for case in there], None)
        self._console.print(f"{len(there) - slow} customers answered after a reminder")

    def _decide(self, started: datetime) -> bool:
        """Lets staff decide the first open escalated case that needs no second person; False if there is none."""
        for case in read_states(self._settings, started).values():
            amount = case.record.rows["amount"][0].as_py()
            if case.open and case.escalated and not needs_second_person(self._settings, {"amount": amount}):
                self._decide_case(case)
                return True
        return False

    def _decide_case(self, case: CaseState) -> None:
        causes = ", ".join(sorted(case.escalated))
        reason = f"Escalated ({causes}): called the customer, who made the payment."
        command = ["-m", "fraudstream.cases", "decide", case.id, "--outcome", "REPORTED_NOT_FRAUD", "--by", "clerk"]
        self._console.print(f'python {" ".join(command)} --reason "{reason}"', markup=False, soft_wrap=True)
        done = subprocess.run(
            [sys.executable, *command, "--reason", reason],
            env=os.environ,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RunFailed(f"the decision of case {case.id} failed: {done.stderr.strip()}")
        self._console.print(done.stdout.strip(), markup=False)

    def _end_watching(self) -> None:
        """Waits until no run of the two DAGs is active and pauses both, so that the counts don't change any more."""

        def active() -> bool:
            return any(
                run["state"] in {"queued", "running"} for dag in (WATCH, RETRY) for run in self._airflow.runs(dag)
            )

        while True:
            self._until(lambda: not active(), 300, f"{WATCH} and {RETRY}")
            for dag in (WATCH, RETRY):
                self._airflow.pause(dag, True)
            if not active():
                return
            for dag in (WATCH, RETRY):  # a run began before the pause; tasks of a paused DAG don't start
                self._airflow.pause(dag, False)

    def _written(self) -> bool:
        """Whether lake and mail log are complete, and topic and table case_event have all events of returned mails."""
        self._read_mails()
        now, before = self._counts.watched(), self._before
        answers = self._counts.answers().counting
        return (
            now.lake_rows - before.lake_rows >= self._good + answers
            and now.mail_rows - before.mail_rows >= self._good + answers + now.retries - before.retries
            and self._counts.events().by_type[MAIL_BOUNCED] >= self._mails.returned()
            and now.event_rows >= now.events
        )

    def _frauds_mailed(self) -> bool:
        self._read_mails()
        return len(self._notices) + self._mails.returned(FRAUD_NOTICE) >= self._frauds

    def _read_mails(self) -> None:
        for links in self._mails.fraud_links():
            case = self._links.find(links["fraud"]).case
            if case in self._notices:
                self._reminders[case] = links
                self.reminder_mails += 1
            else:
                self._notices[case] = links

    def _wait_for(self, mailed_at: float, share: float) -> bool:
        """Waits until a share of the time limit has passed for all customers; False if cases expire before that."""
        due = mailed_at + share * self._limit + _ACCEPTED_WITHIN
        self._until(lambda: time.monotonic() > due, 300 + 2 * self._frauds, f"{share:.0%} of the time limit")
        return due < mailed_at + self._limit

    def _dag(self, dag: str) -> None:
        """Triggers a DAG and waits until its run has succeeded."""
        run = self._airflow.trigger(dag, {})
        self._until(lambda: self._ended(dag, run), 180, f"a run of {dag}")
        self._airflow.wait(dag, run, 1)

    def _ended(self, dag: str, run: str) -> bool:
        return self._airflow.state(dag, run) in {"success", "failed"}

    def _resolved(self) -> int:
        return self._airflow.count("fraud_confirmation", "await_confirmation", "success")

    def _opened(self) -> int:
        return self._airflow.count("fraud_confirmation", "await_confirmation", "deferred", "success")

    def _until(self, done: Callable[[], bool], seconds: float, what: str) -> None:
        """Waits until `done` returns true, and updates the bars meanwhile.

        :raises RunFailed: it isn't true after `seconds`, or the producer's run failed
        """
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                raise RunFailed(f"{what}: not done after {seconds:.0f} s; see make status, make logs")
            if self._airflow.state("produce_transactions", self._producing) == "failed":
                raise RunFailed(f"run {self._producing} of produce_transactions failed: see its log in the Airflow UI")
            self._update()
            time.sleep(1)

    def _update(self) -> None:
        now, before = self._counts.watched(), self._before
        self._bars.advance("produced", now.produced - before.produced)
        self._bars.advance("in the lake", now.lake_rows - before.lake_rows)
        self._bars.advance("mailed", now.mail_rows - before.mail_rows)
        self._bars.advance("answered", now.confirmations - before.confirmations)
        self._bars.advance("cases waiting", self._opened() - self._opened_before)
