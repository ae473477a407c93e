"""Parts of the benchmark `day`: what comes when, what it takes, and what that costs."""
