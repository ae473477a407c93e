"""Delivery over SMTP: connections, pace, and what a refusal means."""
