"""Samples of the pipeline: figures of topics, groups, lake, mails and cases at one moment."""
