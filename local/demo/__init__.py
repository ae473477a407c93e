"""``make demo``: the whole pipeline once, on the real stack, with customers who answer."""
