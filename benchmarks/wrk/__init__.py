"""Load on the confirmation site, with wrk."""
