"""What the page Pipeline shows of the samples: figures, what is wrong, and plots."""
