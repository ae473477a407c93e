#!/bin/bash
# Runs at every boot of every VM: Docker, the release bundle, then docker/vm/boot.py, which does the rest.
set -euo pipefail

metadata() {
  curl --silent --show-error --fail --retry 5 --header 'Metadata-Flavor: Google' \
    "http://metadata.google.internal/computeMetadata/v1/instance/$1"
}

if ! command -v docker >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update
  apt-get install --yes --no-install-recommends docker.io docker-buildx docker-compose-v2 openssl
fi

if ! systemctl is-enabled --quiet google-cloud-ops-agent; then
  curl --silent --show-error --fail --retry 5 --output /tmp/add-ops-agent.sh \
    https://dl.google.com/cloudagents/add-google-cloud-ops-agent-repo.sh
  bash /tmp/add-ops-agent.sh --also-install
  rm /tmp/add-ops-agent.sh
fi

release=$(metadata attributes/fraudstream-release)
token=$(metadata service-accounts/default/token | python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')
object=$(python3 -c 'import sys, urllib.parse; print(urllib.parse.quote(sys.argv[1], safe=""))' "${release#*/}")
rm -rf /opt/fraudstream.new
mkdir -p /opt/fraudstream.new
# The token goes in on standard input, so that no process list shows it.
curl --silent --show-error --fail --retry 5 --config - --output /tmp/release.zip \
  "https://storage.googleapis.com/storage/v1/b/${release%%/*}/o/${object}?alt=media" \
  <<<"header = \"Authorization: Bearer ${token}\""
python3 -m zipfile --extract /tmp/release.zip /opt/fraudstream.new
rm -rf /tmp/release.zip /opt/fraudstream
mv /opt/fraudstream.new /opt/fraudstream

exec python3 /opt/fraudstream/docker/vm/boot.py
