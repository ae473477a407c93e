"""The parts of the stack: how each is started, on which ports and with which environment."""
