"""A variant's metadata as bytes: a line of JSON for what is small, then its arrays as they are."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ragkit.cachecraft.core.variant import ChunkStatistics, Variant

_SCALARS = ("name", "chunk", "prefix", "start", "generation", "size")
_LATER = {"context": ""}
"""What records of earlier versions do not have."""


def pack_variant(variant: Variant) -> bytes:
    """Return about 8 bytes per token that `unpack_variant` turns into an equal variant, bit for bit."""
    arrays: list[np.ndarray[Any, Any]] = [variant.ids.astype("<i4")]
    fields: dict[str, Any] = {name: getattr(variant, name) for name in _SCALARS}
    fields |= {"history": variant.history, "lengths": variant.lengths, "context": variant.context}
    if (statistics := variant.statistics) is not None:
        arrays += [statistics.inter.astype("<f8"), statistics.token_mass.astype("<f4")]
        numbers = [float(statistics.a_bar).hex(), float(statistics.b_bar).hex()]
        fields["statistics"] = [*numbers, statistics.sink]
    fields["counts"] = [len(array) for array in arrays]
    head = json.dumps(fields, separators=(",", ":")).encode()
    return head + b"\n" + b"".join(array.tobytes() for array in arrays)


def unpack_variant(record: bytes) -> Variant:
    """Return the variant that was packed; raise ValueError, KeyError or TypeError where `record` is none."""
    head, _, rest = record.partition(b"\n")
    fields = json.loads(head)
    counts = fields["counts"]
    dtypes = ["<i4", "<f8", "<f4"][: len(counts)]
    if len(counts) not in {1, 3} or len(rest) != sum(
        count * np.dtype(dtype).itemsize for count, dtype in zip(counts, dtypes, strict=True)
    ):
        raise ValueError("the arrays do not fill the record")
    arrays, start = [], 0
    for count, dtype in zip(counts, dtypes, strict=True):
        arrays.append(np.frombuffer(rest, dtype, count, start))
        start += arrays[-1].nbytes
    statistics = None
    if len(arrays) == 3:
        a_bar, b_bar, sink = fields["statistics"]
        inter, mass = arrays[1].astype(np.float64), arrays[2].astype(np.float32)
        statistics = ChunkStatistics(inter, float.fromhex(a_bar), float.fromhex(b_bar), mass, sink)
    return Variant(
        **{name: fields[name] for name in _SCALARS},
        **{name: fields.get(name, otherwise) for name, otherwise in _LATER.items()},
        ids=arrays[0].astype(np.int32),
        history=tuple(fields["history"]),
        lengths=tuple(fields["lengths"]),
        statistics=statistics,
    )
