"""Answers to cases: published, which of them count, staff decisions, and figures of them."""
