"""Honest comparison: data sets with verified evidence, measures as values, intervals on every difference."""
