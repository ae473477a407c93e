"""The same records through several sinks while faults are injected; counted as a reader without special knowledge."""
