"""The JSON reply of `ragkit train reranker`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import Field, FiniteFloat

from ragkit.cli.reply import Reply
from ragkit.cli.text import encodable

if TYPE_CHECKING:
    from ragkit.train.reranker import Trained


class HeldOutReply(Reply):
    """What one judge of sentences reached on the held-out questions."""

    judge: str = Field(description="trained, or the name of an untrained scorer")
    recall_within_half: FiniteFloat = Field(
        description="Of the evidence's characters, with sentences up to half of the length of the best five chunks"
    )
    reciprocal_rank: FiniteFloat = Field(description="Of the first sentence with evidence")


class RerankerReply(Reply):
    """What `ragkit train reranker` made."""

    folder: str = Field(description="The model's folder")
    epochs: int = Field(description="Passes over the questions that were made", ge=1)
    questions: int = Field(description="With exact evidence, held-out ones included", ge=0)
    held_out: list[HeldOutReply]

    @classmethod
    def of(cls, trained: Trained) -> Self:
        """Return the reply that says what was trained."""
        card = trained.card
        return cls(
            folder=encodable(str(trained.folder)),
            epochs=len(card.epochs),
            questions=sum(int(one["with exact evidence"]) for one in card.data),
            held_out=[
                HeldOutReply(
                    judge=name,
                    recall_within_half=values["recall within half"],
                    reciprocal_rank=values["reciprocal rank"],
                )
                for name, values in card.held_out.items()
            ],
        )
