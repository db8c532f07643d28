"""Chunk-KV reuse: the keys and values of a retrieved chunk, computed once, serve every prompt that shows it again.

`core` decides without tensors what is reused, repaired and computed; `tiers` keep the bytes; `hf` runs it on
transformers. Sources: Cache-Craft (arXiv 2502.15734), CacheBlend (2405.16444), EPIC (2410.15332), ProphetKV
(2602.02579).
"""
