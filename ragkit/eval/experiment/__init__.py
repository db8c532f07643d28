"""Experiments: systems crossed with data sets, every intermediate result kept, scored with intervals and tests."""
