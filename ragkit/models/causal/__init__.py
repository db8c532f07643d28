"""The torch side of the local language model, one idea per file; `ragkit.models.local` is the door."""
