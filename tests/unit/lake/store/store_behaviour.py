"""The common behaviour of the lake's object stores, for the fake and for a real one."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fraudstream.lake.store.objects import JSON, ObjectStore


class StoreBehaviour:
    """Subclasses have the fixtures `store` and `folder`; `folder` is a prefix that nothing else uses."""

    def test_a_created_object_comes_back_with_its_content_and_metadata(self, store: ObjectStore, folder: str) -> None:
        created = store.create(f"{folder}/a", b"\x1f\x8b\x00", content_type=JSON, metadata={"end": "7"})
        assert created.ours
        found = store.get(f"{folder}/a")
        assert found is not None
        assert found.data == b"\x1f\x8b\x00"
        assert found.info.generation == created.info.generation
        assert (found.info.size, found.info.metadata["end"]) == (3, "7")
        assert created.info.metadata["end"] == "7"

    def test_a_file_is_created_with_its_content(self, store: ObjectStore, folder: str, tmp_path: Path) -> None:
        path = tmp_path / "file"
        content = bytes(range(256)) * 40_000  # more than the 8 MiB of a single request
        path.write_bytes(content)
        created = store.create(f"{folder}/file", path, content_type=JSON, metadata={"rows": "1"})
        assert (created.info.size, created.info.metadata["rows"]) == (len(content), "1")
        assert store.download(created.info) == content
        again = store.create(f"{folder}/file", path, content_type=JSON, metadata={"rows": "2"})
        assert (again.ours, again.info.metadata["rows"]) == (False, "1")

    def test_a_part_of_an_object_is_read_alone(self, store: ObjectStore, folder: str) -> None:
        info = store.create(f"{folder}/a", b"0123456789", content_type=JSON, metadata={}).info
        assert store.download(info, 0, 4) == b"0123"
        assert store.download(info, 4, 7) == b"456"
        assert store.download(info, 7) == b"789"

    def test_a_taken_name_keeps_its_content_and_shows_whose_it_is(self, store: ObjectStore, folder: str) -> None:
        store.create(f"{folder}/a", b"first", content_type=JSON, metadata={"end": "1"})
        second = store.create(f"{folder}/a", b"second", content_type=JSON, metadata={"end": "2"})
        assert not second.ours
        assert second.info.metadata["end"] == "1"
        found = store.get(f"{folder}/a")
        assert found is not None
        assert found.data == b"first"

    def test_of_many_that_create_the_same_name_one_succeeds(self, store: ObjectStore, folder: str) -> None:
        def create(writer: int) -> tuple[bool, str]:
            created = store.create(f"{folder}/a", b"x", content_type=JSON, metadata={"writer": str(writer)})
            return created.ours, created.info.metadata["writer"]

        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(create, range(8)))
        assert sum(ours for ours, _ in results) == 1
        assert len({writer for _, writer in results}) == 1

    def test_replacing_needs_the_generation_that_is_there(self, store: ObjectStore, folder: str) -> None:
        name = f"{folder}/progress"
        first = store.replace(name, b"1", 0, content_type=JSON)
        assert first is not None
        assert store.replace(name, b"lost", 0, content_type=JSON) is None
        second = store.replace(name, b"2", first.generation, content_type=JSON)
        assert second is not None
        assert store.replace(name, b"lost", first.generation, content_type=JSON) is None
        found = store.get(name)
        assert found is not None
        assert (found.data, found.info.generation) == (b"2", second.generation)

    def test_of_many_that_replace_the_same_generation_one_succeeds(self, store: ObjectStore, folder: str) -> None:
        first = store.replace(f"{folder}/p", b"", 0, content_type=JSON)
        assert first is not None
        generation = first.generation
        with ThreadPoolExecutor(8) as pool:
            results = list(
                pool.map(lambda i: store.replace(f"{folder}/p", b"%d" % i, generation, content_type=JSON), range(8))
            )
        assert sum(result is not None for result in results) == 1

    def test_a_name_that_nothing_has(self, store: ObjectStore, folder: str) -> None:
        assert store.get(f"{folder}/none") is None
        assert store.look_up(f"{folder}/none") is None
        assert store.list(f"{folder}/none") == []

    def test_a_generation_that_is_gone_cant_be_read(self, store: ObjectStore, folder: str) -> None:
        old = store.replace(f"{folder}/a", b"old", 0, content_type=JSON)
        assert old is not None
        new = store.replace(f"{folder}/a", b"new", old.generation, content_type=JSON)
        assert new is not None
        assert store.download(old) is None
        assert store.download(new) == b"new"
        assert store.delete(f"{folder}/a", new.generation)
        assert not store.delete(f"{folder}/a", new.generation)
        assert store.get(f"{folder}/a") is None

    def test_a_part_of_an_object_is_exactly_its_bytes(self, store: ObjectStore, folder: str) -> None:
        content = bytes(range(256)) * 10
        info = store.create(f"{folder}/a", content, content_type=JSON, metadata={}).info
        for start, end in ((0, 1), (5, 9), (0, None), (2_000, None), (2_559, 2_560)):
            assert store.download(info, start, end) == content[start:end]

    def test_a_listing_has_all_objects_of_a_prefix_by_name(self, store: ObjectStore, folder: str) -> None:
        for name in ("dt=1/b", "dt=1/a", "dt=10/a", "dt=2/a"):
            store.create(f"{folder}/{name}", name.encode(), content_type=JSON, metadata={"name": name})
        found = store.list(f"{folder}/dt=1/")
        assert [info.name for info in found] == [f"{folder}/dt=1/a", f"{folder}/dt=1/b"]
        assert [info.metadata["name"] for info in found] == ["dt=1/a", "dt=1/b"]
        assert [store.download(info) for info in found] == [b"dt=1/a", b"dt=1/b"]
        rest = store.list(f"{folder}/dt=", start=f"{folder}/dt=10/")
        assert [info.name for info in rest] == [f"{folder}/dt=10/a", f"{folder}/dt=2/a"]
        assert store.look_up(f"{folder}/dt=1/b") == found[1]
        assert all(info.updated.tzinfo is not None and info.size == 6 for info in found)
