#!/bin/bash
# Makes the running broker of this VM reload its key and certificate; runs in the container kafka-access.
# The controller's listener reloads it, too: a change of one listener makes all listeners reload the file.
# Needs KAFKA_HOST, KAFKA_NODE_ID and /run/secrets/kafka_admin.properties.
set -euo pipefail

export LOG_DIR=/tmp/logs
listeners=(
  listener.name.client.ssl.keystore.location=/run/secrets/kafka_keystore.pem
  listener.name.internal.ssl.keystore.location=/run/secrets/kafka_keystore.pem
)
changes=$(
  IFS=,
  echo "${listeners[*]}"
)
# Kafka reloads the file although its path doesn't change.
exec /opt/kafka/bin/kafka-configs.sh --bootstrap-server "${KAFKA_HOST}:9094" \
  --command-config /run/secrets/kafka_admin.properties \
  --alter --entity-type brokers --entity-name "${KAFKA_NODE_ID}" --add-config "${changes}"
