#!/bin/bash
# Makes the SCRAM users and their ACLs, through a broker's internal listener. Safe to repeat: users get the password
# of their secret, ACLs that are there stay.
# Needs KAFKA_HOST, /run/secrets/kafka_admin.properties and a /run/secrets/kafka_<user>_password for each user.
set -euo pipefail

export LOG_DIR=/tmp/logs
broker=(--bootstrap-server "${KAFKA_HOST}:9094")
admin=(--command-config /run/secrets/kafka_admin.properties)
umask 077

for file in /run/secrets/kafka_*_password; do
  user=${file#/run/secrets/kafka_}
  user=${user%_password}
  # From a file, so that no process list shows the password.
  printf 'SCRAM-SHA-512=[password=%s]\n' "$(<"${file}")" >/tmp/credentials.properties
  /opt/kafka/bin/kafka-configs.sh "${broker[@]}" "${admin[@]}" \
    --alter --add-config-file /tmp/credentials.properties --entity-type users --entity-name "${user}"
  rm /tmp/credentials.properties
done

while read -r user operations resource name pattern; do
  if [[ -z ${user} || ${user} == '#'* ]]; then
    continue
  fi
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
