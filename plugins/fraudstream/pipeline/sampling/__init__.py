"""Samples of the pipeline: what topics, groups, lake, mails and cases say at one moment."""
