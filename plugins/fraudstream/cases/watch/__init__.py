"""Watches cases: which customers are reminded, and which cases people have to look at."""
