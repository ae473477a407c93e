"""Modules of the benchmark `day`: the daily pattern of rows and answers, the usage of CPU and memory, and costs."""
