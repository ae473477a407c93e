"""Every reader of a damaged object reports the object's name and what to do, not an error of a library."""

import gzip
from collections.abc import Callable

import pytest
from fraudstream.cases.claims import Plan
from fraudstream.errors import LakeError
from fraudstream.lake.store.objects import unpacked

WHOLE = gzip.compress(b'{"offset": 1}\n' * 500, mtime=0)
DAMAGED = {
    "cut off": WHOLE[:-5],
    "damaged inside": WHOLE[:30] + b"\xff\0\xff" + WHOLE[33:],
    "another checksum": WHOLE[:-6] + bytes([WHOLE[-6] ^ 1]) + WHOLE[-5:],
    "no gzip": b'{"offset": 1}\n',
    "more behind it": WHOLE + b"more",
}


@pytest.mark.parametrize("damaged", DAMAGED.values(), ids=DAMAGED)
@pytest.mark.parametrize("read", [unpacked, Plan.of])
def test_a_damaged_object_is_named(read: Callable[[str, bytes], object], damaged: bytes) -> None:
    with pytest.raises(LakeError, match=r"object a/b\.json\.gz is not a whole gzip file \(.*restore it"):
        read("a/b.json.gz", damaged)


def test_a_whole_object_is_unpacked() -> None:
    assert unpacked("a/b.json.gz", WHOLE) == b'{"offset": 1}\n' * 500
