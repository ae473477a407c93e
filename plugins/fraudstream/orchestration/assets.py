"""The assets: files, topics, folders of the lake's JSON, tables, and the lake as a whole once it is compacted.

A task's inlets are the assets that it reads, its outlets those that it writes; Airflow's asset graph shows both. An
outlet gets an event when its task succeeds. So a task that never ends has no outlet that a schedule waits for.
"""

from airflow.sdk import Asset

GROUP = "fraudstream"

#: Updated when a run of compact_lake has ended successfully.
LAKE = Asset(name="fraudstream_lake", uri="fraudstream://lake", group=GROUP)
#: The files that produce_transactions reads; one asset stands for all of them.
FILES = Asset(name="fraudstream_files", uri="fraudstream://files", group=GROUP)
#: The history of audits: folder audit/ of the lake.
AUDITS = Asset(name="fraudstream_audits", uri="fraudstream://lake/audit", group=GROUP)


def topic_asset(topic: str) -> Asset:
    """Updated when a task that writes to the topic has ended."""
    return Asset(name=f"fraudstream_topic_{topic}", uri=f"fraudstream://topic/{topic}", group=GROUP)


def folder_asset(folder: str) -> Asset:
    """Updated when a consumer's task that writes JSON to the folder has ended: at the end of its run."""
    return Asset(name=f"fraudstream_json_{folder}", uri=f"fraudstream://lake/json/{folder}", group=GROUP)


def table_asset(folder: str) -> Asset:
    """The table of a folder, partitioned by day. It gets an event for each day that is complete."""
    return Asset(name=f"fraudstream_table_{folder}", uri=f"fraudstream://lake/table/{folder}", group=GROUP)
