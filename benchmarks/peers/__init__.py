"""The measured processes that the pipeline is compared with: ceilings, and other tools for the same work."""
