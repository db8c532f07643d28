"""The index on disk: the ledger is the truth, everything else is rebuildable from it."""
