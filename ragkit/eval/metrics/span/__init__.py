"""Span metrics: how much of the gold text was retrieved, and how much else."""
