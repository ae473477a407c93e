"""Views of topics in memory: the answer of each case, the case itself, when its notice was accepted."""
