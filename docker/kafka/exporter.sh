#!/bin/sh
# Starts the lag exporter, which logs in as user monitor. The exporter itself can't read a password from a file.
set -eu

set -- --sasl.enabled --sasl.mechanism=scram-sha512 --sasl.username=monitor \
  "--sasl.password=$(cat /run/secrets/kafka_password)" --tls.enabled --tls.ca-file=/run/secrets/kafka_ca.pem
for broker in $(echo "${KAFKA_BOOTSTRAP_SERVERS}" | tr ',' ' '); do
  set -- "$@" "--kafka.server=${broker}"
done
exec /bin/kafka_exporter "$@"
