"""Delivery over SMTP: connections, rate, and the classification of refusals."""
