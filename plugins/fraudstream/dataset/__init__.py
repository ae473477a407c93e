"""Reads and checks PaySim files, and generates files with their format and statistics."""

from fraudstream.dataset.lines import Rejected
from fraudstream.dataset.reader import Chunk, Position, read_chunks
from fraudstream.dataset.source.source import Source, open_source

__all__ = ["Chunk", "Position", "Rejected", "Source", "open_source", "read_chunks"]
