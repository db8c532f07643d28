"""Measures as values, and what computes them over many queries at once. Definitions: docs/metrics.md."""
