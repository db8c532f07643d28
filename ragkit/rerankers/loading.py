"""The torch side of cross-encoders. Import it only to score: it loads torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sentence_transformers import CrossEncoder
from transformers.utils import logging

from ragkit.errors import ModelError
from ragkit.models.encoder import best_device


def load_cross_encoder(folder: Path, device: str, length: int) -> Any:
    """Return the model in `folder`, local files and safetensors only, which cuts pairs at `length` tokens."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    device = best_device(device)
    try:
        return CrossEncoder(
            str(folder),
            device=device,
            max_length=length,
            local_files_only=True,
            model_kwargs={"use_safetensors": True},
        ).eval()
    except Exception as error:  # the library raises many unrelated types
        raise ModelError(
            f"The cross-encoder in {folder} cannot be loaded on {device}: {error}",
            hint="Name another model or device, or fetch the model again.",
        ) from error
    finally:
        if shown:
            logging.enable_progress_bar()
