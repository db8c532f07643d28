"""What all JSON replies have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Reply(BaseModel):
    """What a command says under `--json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
