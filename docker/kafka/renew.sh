#!/bin/bash
# Has the running broker of this VM read its key and certificate again, in the container kafka-access.
# The controller's listener follows: all listeners look at the file again when one of them is changed.
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
# The same path as before: Kafka reads the file again all the same.
exec /opt/kafka/bin/kafka-configs.sh --bootstrap-server "${KAFKA_HOST}:9094" \
  --command-config /run/secrets/kafka_admin.properties \
  --alter --entity-type brokers --entity-name "${KAFKA_NODE_ID}" --add-config "${changes}"
