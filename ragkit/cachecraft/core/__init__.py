"""The bookkeeping of chunk-KV reuse: keys, variants, statistics, choice, repair sets, plans. No tensors, no I/O."""
