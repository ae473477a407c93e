"""Other producers and consumers, and the ceilings for both."""
