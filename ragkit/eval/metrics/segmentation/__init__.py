"""Segment boundaries against gold ones. A boundary is a position 1..n-1 between n units, such as sentences."""
