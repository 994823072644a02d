"""What a planner needs, and what a plan tells."""
