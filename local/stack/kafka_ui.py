"""Serves kaskade, a terminal UI for Kafka, to browsers. Runs in kaskade's own environment, not in the project's."""

import shlex
import sys

from textual_serve.server import Server

host, port, kaskade, brokers = sys.argv[1:]
command = shlex.join([kaskade, "admin", "--bootstrap-servers", brokers])
Server(command, host=host, port=int(port), title="Kafka").serve()
