#!/bin/bash
# Runs at every boot of every VM. Google's startup service doesn't retry a script, so its run only creates a systemd unit
# for this script and starts it. The unit's run retries until it succeeds: it installs Docker, downloads the release
# bundle and runs docker/vm/boot.py. On a failure it logs a line that an alert of terraform/alerts.tf matches.
set -euo pipefail

unit=/etc/systemd/system/fraudstream-boot.service
script=/usr/local/sbin/fraudstream-boot
step='starting'

on_error() {
  logger --tag fraudstream "fraudstream startup failed: ${step}; it is tried again in 30 seconds"
}
trap on_error ERR

metadata() {
  curl --silent --show-error --fail --retry 10 --retry-all-errors --header 'Metadata-Flavor: Google' \
    "http://metadata.google.internal/computeMetadata/v1/instance/$1"
}

if [[ ${1:-} != boot ]]; then
  step='making the systemd unit'
  install --mode 0755 "$0" "${script}"
  cat >"${unit}" <<UNIT
[Unit]
Description=fraudstream: what this VM is, by its metadata
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart=${script} boot
Restart=on-failure
RestartSec=30
UNIT
  systemctl daemon-reload
  systemctl restart --no-block fraudstream-boot.service
  exit 0
fi

# At the first boot apt may already run in the background: wait for its lock instead of failing.
apt=(apt-get --option DPkg::Lock::Timeout=600 --yes)
if ! docker compose version >/dev/null 2>&1 || ! command -v openssl >/dev/null; then
  step='installing Docker'
  export DEBIAN_FRONTEND=noninteractive
  dpkg --configure -a # a reboot may have interrupted an installation
  "${apt[@]}" update
  "${apt[@]}" install --no-install-recommends docker.io docker-compose-v2 openssl
fi

if ! systemctl is-enabled --quiet google-cloud-ops-agent; then
  step='installing the Ops Agent'
  curl --silent --show-error --fail --retry 10 --retry-all-errors --output /tmp/add-ops-agent.sh \
    https://dl.google.com/cloudagents/add-google-cloud-ops-agent-repo.sh
  bash /tmp/add-ops-agent.sh --also-install
  rm /tmp/add-ops-agent.sh
fi

step='downloading the release'
release=$(metadata attributes/fraudstream-release)
token=$(metadata service-accounts/default/token | python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')
object=$(python3 -c 'import sys, urllib.parse; print(urllib.parse.quote(sys.argv[1], safe=""))' "${release#*/}")
rm -rf /opt/fraudstream.new
mkdir -p /opt/fraudstream.new/docker
# The token is passed on standard input, so that process lists don't show it. A new grant takes up to some minutes to
# become effective; until then Cloud Storage answers 403.
curl --silent --show-error --fail --retry 10 --retry-all-errors --config - --output /tmp/release.zip \
  "https://storage.googleapis.com/storage/v1/b/${release%%/*}/o/${object}?alt=media" \
  <<<"header = \"Authorization: Bearer ${token}\""
python3 -m zipfile --extract /tmp/release.zip /opt/fraudstream.new/docker
rm -rf /tmp/release.zip /opt/fraudstream
mv /opt/fraudstream.new /opt/fraudstream

step='docker/vm/boot.py'
python3 /opt/fraudstream/docker/vm/boot.py
