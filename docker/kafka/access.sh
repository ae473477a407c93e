#!/bin/bash
# Creates the SCRAM users and their ACLs through a broker's internal listener. It is idempotent: it sets each user's
# password to that of its secret, and existing ACLs stay.
# Needs KAFKA_HOST, /run/secrets/kafka_admin.properties and a /run/secrets/kafka_<user>_password for each user.
# On a failure it prints the line that an alert of terraform/alerts.tf matches, and ends.
set -euo pipefail

export LOG_DIR=/tmp/logs
broker=(--bootstrap-server "${KAFKA_HOST}:9094")
admin=(--command-config /run/secrets/kafka_admin.properties)
step='preparing'
umask 077
on_exit() {
  local code=$?
  rm -f /tmp/credentials.properties /tmp/output
  [[ ${code} == 0 ]] || echo "fraudstream access failed: ${step}" >&2
}
trap on_exit EXIT

for file in /run/secrets/kafka_*_password; do
  user=${file#/run/secrets/kafka_}
  user=${user%_password}
  step="making the user ${user}"
  # The password is passed in a file, so that process lists don't show it. In a file the value has no brackets; on the
  # command line (--add-config) it would need them.
  printf 'SCRAM-SHA-512=password=%s\n' "$(<"${file}")" >/tmp/credentials.properties
  failed=0
  /opt/kafka/bin/kafka-configs.sh "${broker[@]}" "${admin[@]}" \
    --alter --add-config-file /tmp/credentials.properties --entity-type users --entity-name "${user}" \
    >/tmp/output 2>&1 || failed=1
  # The tool prints input that it can't parse. Lines with the password are removed from its output.
  grep -vFf "${file}" /tmp/output || true
  [[ ${failed} == 0 ]]
done

while read -r user operations resource name pattern; do
  if [[ -z ${user} || ${user} == '#'* ]]; then
    continue
  fi
  step="giving ${user} the right ${operations} to ${resource} ${name}"
  options=()
  for operation in ${operations//,/ }; do
    options+=(--operation "${operation}")
  done
  if [[ ${resource} == cluster ]]; then
    options+=(--cluster)
  else
    options+=("--${resource}" "${name}" --resource-pattern-type "${pattern}")
  fi
  /opt/kafka/bin/kafka-acls.sh "${broker[@]}" "${admin[@]}" --add --allow-principal "User:${user}" "${options[@]}"
done </etc/fraudstream/acls
echo 'users and ACLs are as /etc/fraudstream/acls says'
