"""Data sets for the harness: documents, questions, verified evidence; the formats are described in docs/datasets.md."""

from ragkit.eval.datasets.formats import FORMATS
from ragkit.eval.datasets.loading import load
from ragkit.eval.datasets.splitting import sample, split

__all__ = ["FORMATS", "load", "sample", "split"]
