"""An experiment as one HTML file that needs nothing else: tables, plots, and every single query."""

from ragkit.eval.report.render import render

__all__ = ["render"]
