"""The rows of a source that fail their checks: counts them, logs the reasons, and fails a run with too many of them."""

import logging
from datetime import datetime

from fraudstream.dataset.lines import Rejected
from fraudstream.dataset.reader import Position, read_chunks
from fraudstream.dataset.source.source import Source
from fraudstream.dataset.tally import Tally
from fraudstream.errors import TooManyRejected
from fraudstream.kafka.records import INGEST_DEAD_LETTER

log = logging.getLogger(__name__)

#: The share of rejected rows is checked from this number of rows on, or for the whole file if it has fewer.
_SHARE_ROWS = 1_000
_BEGINNING_ROWS = 25_000


class RejectedRows:
    """Counts a run's rows and rejected rows.

    :param max_share: rejected rows to rows read, 0 to 1, above which the run fails
    """

    def __init__(self, uri: str, max_share: float) -> None:
        self._uri = uri
        self._max_share = max_share
        self._tally = Tally()
        self._rows = 0
        self._rejected = 0

    def check_first_rows(self, source: Source, start_date: datetime, limit: int | None) -> None:
        """Checks a file's first rows, at most `limit`, before any row is sent.

        :raises TooManyRejected: the share of rejected rows among them is too high
        """
        rows = min(_BEGINNING_ROWS, limit or _BEGINNING_ROWS)
        chunk = next(read_chunks(source, Position(0, 0), start_date=start_date, chunk_rows=rows), None)
        if chunk is None:
            return
        found = RejectedRows(self._uri, self._max_share)
        found.add(chunk.position.row, chunk.rejected)
        if found.too_many(whole=chunk.position.line - 2 < rows):
            raise found._error("Nothing was sent. `python -m fraudstream.dataset check` says more")

    def add(self, rows: int, rejected: list[Rejected]) -> None:
        """Counts rows, rejected ones included."""
        self._rows += rows
        self._rejected += len(rejected)
        self._tally.add(rejected)

    def too_many(self, whole: bool) -> bool:
        """Whether the share is too high; `whole`: the file has no more rows."""
        return self._rejected > self._max_share * self._rows and (self._rows >= _SHARE_ROWS or whole)

    def check(self, whole: bool, row: int) -> None:
        """Fails the run if the share is too high.

        :raises TooManyRejected: the share is too high after `row` rows, all of which are committed
        """
        if self.too_many(whole):
            raise self._error(
                f"They are in {INGEST_DEAD_LETTER} with line and reason; a new run continues after row {row:,}"
            )

    def log(self) -> None:
        """Logs the most frequent reasons, if there are any."""
        for reason in self._tally.most_frequent():
            log.warning("%s: rejected: %s", self._uri, reason)

    def _error(self, where: str) -> TooManyRejected:
        return TooManyRejected(
            f"{self._uri}: {self._rejected:,} of {self._rows:,} rows failed their checks, more than the share of "
            f"{self._max_share} that max_rejected_share allows: {self._tally}. {where}. If that is as it should be, "
            f"run again with a higher share"
        )
