"""The pipeline's health: figures of topics, groups, lake, mails and cases, sampled and kept for a day."""
