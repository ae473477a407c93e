"""The assets that tasks update: topics, folders of the lake's JSON, and the lake as a whole once it is compacted."""

from airflow.sdk import Asset

#: Updated when compact_lake has done what there was to do.
LAKE = Asset(name="fraudstream_lake", uri="fraudstream://lake", group="fraudstream")


def topic_asset(topic: str) -> Asset:
    """Updated when a task that writes to the topic has ended."""
    return Asset(name=f"fraudstream_topic_{topic}", uri=f"fraudstream://topic/{topic}", group="fraudstream")


def folder_asset(folder: str) -> Asset:
    """Updated when a consumer's task that writes JSON to the folder has ended: at the end of its run."""
    return Asset(name=f"fraudstream_json_{folder}", uri=f"fraudstream://lake/json/{folder}", group="fraudstream")
