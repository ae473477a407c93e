"""The content of the page "Pipeline", made from samples: figures, those that are amber or red, and plots."""
