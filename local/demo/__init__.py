"""``make demo``: runs the whole pipeline once on the local stack, with simulated customers who answer."""
