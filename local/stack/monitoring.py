"""The parts for Prometheus with the alert rules and for the StatsD exporter that it scrapes, if both are installed."""

import json
import shutil

from fraudstream.settings import ROOT

from local.programs.installed import state_folder
from local.stack.environment import MONITORING, is_monitored, machine_environment
from local.stack.ports import Ports
from local.supervisor.part import Answers, Part

_PROMETHEUS, _EXPORTER = MONITORING


def monitoring(ports: Ports) -> list[Part]:
    """Both parts; an empty list if one of the programs isn't installed."""
    if not is_monitored():
        return []
    folder = state_folder("prometheus")
    config = folder / "prometheus.yml"
    targets = {"airflow": "statsd_exporter", "site": "confirmation_health", "prometheus": "prometheus"}
    config.write_text(  # JSON is YAML
        json.dumps(
            {
                "global": {"scrape_interval": "15s", "evaluation_interval": "15s"},
                "rule_files": [str(ROOT / "include" / "alerts" / "fraudstream.yaml")],
                "scrape_configs": [
                    {"job_name": job, "static_configs": [{"targets": [ports.address(part)]}]}
                    for job, part in targets.items()
                ],
            },
            indent=2,
        )
    )
    return [
        Part(
            name="statsd-exporter",
            command=[
                str(shutil.which(_EXPORTER)),
                f"--statsd.listen-udp={ports.address('statsd')}",
                "--statsd.listen-tcp=",
                f"--web.listen-address={ports.address('statsd_exporter')}",
            ],
            env=machine_environment(),
            cwd=folder,
            ready=Answers(url=ports.url("statsd_exporter") + "/metrics"),
            ports=[ports["statsd_exporter"]],
            address=ports.url("statsd_exporter"),
        ),
        Part(
            name="prometheus",
            command=[
                str(shutil.which(_PROMETHEUS)),
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                "--storage.tsdb.retention.time=1d",
                f"--web.listen-address={ports.address('prometheus')}",
            ],
            env=machine_environment(),
            cwd=folder,
            ready=Answers(url=ports.url("prometheus") + "/-/ready"),
            ports=[ports["prometheus"]],
            address=ports.url("prometheus"),
        ),
    ]
