import gzip
import hashlib
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fraudstream.dataset import Position, open_source, read_chunks
from fraudstream.dataset import generator as module
from fraudstream.dataset.generator import _Permutation, blocks, plan, write_file
from fraudstream.errors import SettingsError
from hypothesis import given
from hypothesis import strategies as st

HEADER = (
    "step,type,amount,nameOrig,oldbalanceOrg,newbalanceOrig,nameDest,oldbalanceDest,newbalanceDest,isFraud,"
    "isFlaggedFraud"
)


Rows = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """20,000 rows with 400 frauds, as the reader returns them."""
    path = tmp_path_factory.mktemp("generated") / "paysim.csv"
    write_file(path, plan(20_000, 400), 1, lambda rows: None)
    chunks = list(
        read_chunks(open_source(str(path), None), Position(0, 0), start_date=datetime(2023, 10, 1, tzinfo=UTC))
    )
    assert all(chunk.rejected == [] for chunk in chunks)
    found = pa.Table.from_batches([chunk.rows for chunk in chunks])
    assert found.num_rows == 20_000
    return {name: found[name].to_numpy() for name in found.column_names}


class TestCounts:
    def test_all_of_paysim_s_rows_have_its_published_counts(self) -> None:
        full = plan(6_362_620)
        assert full.rows == 6_362_620
        assert full.types == {
            "CASH_IN": 1_399_284,
            "CASH_OUT": 2_237_500,
            "DEBIT": 41_432,
            "PAYMENT": 2_151_495,
            "TRANSFER": 532_909,
        }
        assert (full.frauds, full.flagged) == (8_213, 16)
        frauds = {kind.type: 0 for kind in module.KINDS if kind.fraud}
        for kind, count in zip(module.KINDS, full.counts, strict=True):
            if kind.fraud:
                frauds[kind.type] += count
        assert frauds == {"TRANSFER": 4_097, "CASH_OUT": 4_116}

    @given(rows=st.integers(1, 10_000_000), data=st.data())
    def test_any_number_of_rows_and_frauds_is_met_exactly(self, rows: int, data: st.DataObject) -> None:
        frauds = data.draw(st.integers(0, rows))
        planned = plan(rows, frauds)
        assert (planned.rows, planned.frauds) == (rows, frauds)
        assert min(planned.counts) >= 0

    @given(rows=st.integers(2, 10_000_000))
    def test_by_default_at_least_two_rows_are_frauds(self, rows: int) -> None:
        assert plan(rows).frauds == max(2, round(rows * 8_213 / 6_362_620))

    def test_the_file_has_what_was_planned(self, rows: Rows) -> None:
        planned = plan(20_000, 400)
        assert Counter(rows["type"]) == planned.types
        assert rows["isFraud"].sum() == 400
        assert rows["isFlaggedFraud"].sum() == planned.flagged == 1

    @pytest.mark.parametrize(("rows", "frauds"), [(0, None), (-1, None), (10, 11), (10, -1)])
    def test_impossible_numbers_are_refused(self, rows: int, frauds: int | None) -> None:
        with pytest.raises(SettingsError, match=r"found -?[0-9]+, expected"):
            plan(rows, frauds)


class TestRows:
    def test_steps_are_in_order_from_1_to_743(self, rows: Rows) -> None:
        assert (np.diff(rows["step"]) >= 0).all()
        assert np.unique(rows["step"]).tolist() == list(range(1, 744))

    def test_origin_pays_the_amount_or_gets_it_in_a_cash_in(self, rows: Rows) -> None:
        gains = np.where(rows["type"] == "CASH_IN", rows["amount"], -rows["amount"])
        assert (rows["newbalanceOrig"] - rows["oldbalanceOrg"] == gains).all()

    def test_a_customer_who_receives_has_the_other_side_of_the_payment(self, rows: Rows) -> None:
        customer = _starts(rows["nameDest"], "C")
        gain = rows["newbalanceDest"] - rows["oldbalanceDest"]
        loss = rows["oldbalanceOrg"] - rows["newbalanceOrig"]
        assert (gain == loss)[customer].all()

    def test_merchants_receive_payments_only_and_have_no_balance(self, rows: Rows) -> None:
        merchant = _starts(rows["nameDest"], "M")
        assert (merchant == (rows["type"] == "PAYMENT")).all()
        assert not rows["oldbalanceDest"][merchant].any()
        assert not rows["newbalanceDest"][merchant].any()
        assert _starts(rows["nameOrig"], "C").all()

    def test_a_fraud_empties_the_account_by_transfer_or_cash_out(self, rows: Rows) -> None:
        fraud = rows["isFraud"] == 1
        assert set(rows["type"][fraud]) == {"TRANSFER", "CASH_OUT"}
        assert (rows["amount"] == rows["oldbalanceOrg"])[fraud].all()
        assert not rows["newbalanceOrig"][fraud].any()

    def test_flagged_are_frauds_of_more_than_200_000(self, rows: Rows) -> None:
        flagged = rows["isFlaggedFraud"] == 1
        assert (rows["isFraud"][flagged] == 1).all()
        assert rows["amount"][flagged].min() > 200_000_00

    def test_amounts_are_positive_and_balances_not_negative(self, rows: Rows) -> None:
        assert rows["amount"].min() > 0
        assert min(rows[column].min() for column in rows if "balance" in column) == 0

    def test_about_4_percent_of_the_rows_have_a_value_of_ten_million_or_more(self, rows: Rows) -> None:
        large = np.any([rows[column] >= 10**9 for column in rows if "balance" in column or column == "amount"], axis=0)
        assert 0.03 < large.mean() < 0.055

    def test_types_are_mixed_all_along_the_file(self, rows: Rows) -> None:
        for first in range(0, 20_000, 1_000):
            part = slice(first, first + 1_000)
            assert 150 < (rows["type"][part] == "CASH_IN").sum() < 300, "CASH_IN is 22% of PaySim"
            assert rows["isFraud"][part].sum() > 2


def _starts(names: np.ndarray, letter: str) -> np.ndarray:
    return np.array([name.startswith(letter) for name in names])


class TestBytes:
    def test_the_header_is_paysim_s(self) -> None:
        assert next(blocks(plan(5), 1)) == f"{HEADER}\n".encode()

    def test_they_are_the_same_on_every_machine_and_in_every_version(self) -> None:
        digest = hashlib.sha256(b"".join(blocks(plan(5_000), 42))).hexdigest()
        assert digest == "9908d20589affa21924e1d56a115f89208ba9d896e33c191acafadd0f7a212cf"

    def test_the_size_of_blocks_changes_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = b"".join(blocks(plan(500), 7))
        monkeypatch.setattr(module, "BLOCK_ROWS", 33)
        assert b"".join(blocks(plan(500), 7)) == whole

    def test_another_seed_gives_other_rows(self) -> None:
        assert b"".join(blocks(plan(50), 1)) != b"".join(blocks(plan(50), 2))

    def test_a_gzip_has_the_same_content_and_no_time_in_it(self, tmp_path: Path) -> None:
        plain, first, second = (tmp_path / name for name in ("a.csv", "a.csv.gz", "b.csv.gz"))
        for path in (plain, first, second):
            write_file(path, plan(300), 3, lambda rows: None)
        assert gzip.decompress(first.read_bytes()) == plain.read_bytes()
        assert first.read_bytes() == second.read_bytes()
        assert first.read_bytes()[4:8] == bytes(4), "the time in a gzip header"

    def test_progress_ends_at_the_number_of_rows(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "BLOCK_ROWS", 40)
        seen: list[int] = []
        write_file(tmp_path / "a.csv", plan(100), 3, seen.append)
        assert seen == [0, 40, 80, 100]

    def test_a_file_that_is_not_whole_has_not_its_name(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"

        def stop(rows: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_file(path, plan(100), 3, stop)
        assert list(tmp_path.iterdir()) == []

    def test_a_place_that_can_t_be_written_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"missing/a\.csv can't be written: No such file"):
            write_file(tmp_path / "missing" / "a.csv", plan(100), 3, lambda rows: None)


@given(size=st.integers(1, 3_000), seed=st.integers(0, 2**32))
def test_the_order_of_rows_is_a_permutation(size: int, seed: int) -> None:
    order = _Permutation(size, np.random.PCG64(seed).random_raw(4))
    assert sorted(order(np.arange(size, dtype=np.uint64)).tolist()) == list(range(size))
