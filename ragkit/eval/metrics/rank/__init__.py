"""Rank metrics over chunks or documents."""
