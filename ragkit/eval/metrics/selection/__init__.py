"""What a selector kept, and baselines of the same cost."""
