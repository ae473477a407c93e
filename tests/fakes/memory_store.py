"""An object store in memory that can make any call fail or lose its response."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from fraudstream.errors import LakeUnavailable
from fraudstream.lake.store.objects import Created, ObjectInfo, StoredObject


class MemoryStore:
    """:class:`fraudstream.lake.store.objects.ObjectStore` with the current objects of a bucket.

    `before` is called with operation and name before each call, `after` after each call that changed something. If they
    raise an error, the store fails before or after doing the work. They may also change the store, as another process
    does between two steps.
    """

    bucket = "memory"
    #: The clock for Cloud Storage's limit of one write per second and object; None: no limit.
    clock_of_limit: Callable[[], float] | None = None

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._written: dict[str, float] = {}
        self.objects: dict[str, StoredObject] = {}
        self.before: Callable[[str, str], None] = lambda operation, name: None
        self.after: Callable[[str, str], None] = lambda operation, name: None
        self._generations = count(1)
        self._now = now

    def create(self, name: str, data: bytes | Path, *, content_type: str, metadata: Mapping[str, str]) -> Created:
        self.before("create", name)
        there = self.objects.get(name)
        created = Created(there.info, False) if there else Created(self._put(name, data, metadata), True)
        self.after("create", name)
        return created

    def replace(self, name: str, data: bytes, generation: int, *, content_type: str) -> ObjectInfo | None:
        self.before("replace", name)
        there = self.objects.get(name)
        if (there.info.generation if there else 0) != generation:
            return None
        info = self._put(name, data, {})
        self.after("replace", name)
        return info

    def look_up(self, name: str) -> ObjectInfo | None:
        self.before("look_up", name)
        there = self.objects.get(name)
        return there.info if there else None

    def get(self, name: str) -> StoredObject | None:
        self.before("get", name)
        return self.objects.get(name)

    def download(self, info: ObjectInfo, start: int = 0, end: int | None = None) -> bytes | None:
        self.before("download", info.name)
        there = self.objects.get(info.name)
        return there.data[start:end] if there and there.info.generation == info.generation else None

    def list(self, prefix: str, start: str = "") -> list[ObjectInfo]:
        self.before("list", prefix)
        names = sorted(name for name in self.objects if name.startswith(prefix) and name >= start)
        listed = [self.objects[name].info for name in names]
        self.after("list", prefix)
        return listed

    def delete(self, name: str, generation: int) -> bool:
        self.before("delete", name)
        there = self.objects.get(name)
        if there is None or there.info.generation != generation:
            return False
        del self.objects[name]
        self.after("delete", name)
        return True

    def _put(self, name: str, data: bytes | Path, metadata: Mapping[str, str]) -> ObjectInfo:
        if self.clock_of_limit is not None:
            moment = self.clock_of_limit()
            if moment - self._written.get(name, float("-inf")) < 1:
                raise LakeUnavailable(f"429: {name} was written less than a second ago")
            self._written[name] = moment
        content = data if isinstance(data, bytes) else data.read_bytes()
        info = ObjectInfo(name, len(content), next(self._generations), self._now(), dict(metadata))
        self.objects[name] = StoredObject(info, content)
        return info
