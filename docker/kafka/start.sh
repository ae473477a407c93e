#!/bin/bash
# Starts a broker: 1. writes its configuration, 2. formats its storage once, 3. replaces this shell with the broker.
# Needs KAFKA_CLUSTER_ID, KAFKA_NODE_ID, KAFKA_HOST, KAFKA_QUORUM_VOTERS and KAFKA_LISTENERS_FILE.
set -euo pipefail

config=/tmp/server.properties
export LOG_DIR=/tmp/logs # a writable folder for Kafka's scripts; all logs go to standard output
export KAFKA_LOG4J_OPTS=-Dlog4j2.configurationFile=/etc/fraudstream/log4j2.properties
export EXTRA_ARGS='-name kafkaServer' # without -loggc: the garbage collector's log would fill the tmpfs of /tmp

# 1.
umask 077
cat /etc/fraudstream/server.properties "${KAFKA_LISTENERS_FILE}" >"${config}"
# The empty line ends the last line of the listeners' file: secrets have no final line break.
cat >>"${config}" <<CONFIG

node.id=${KAFKA_NODE_ID}
controller.quorum.voters=${KAFKA_QUORUM_VOTERS}
advertised.listeners=CLIENT://${KAFKA_HOST}:9092,INTERNAL://${KAFKA_HOST}:9094
CONFIG

# 2.
mkdir -p /var/lib/kafka/data/log
/opt/kafka/bin/kafka-storage.sh format --ignore-formatted "--cluster-id=${KAFKA_CLUSTER_ID}" --config "${config}"

# 3.
exec /opt/kafka/bin/kafka-server-start.sh "${config}"
