"""Why one candidate is ahead of another: what the report shows of a pair, and the explorer of its images."""
