"""Compares the topics with the lake and the mail log."""
