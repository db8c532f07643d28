"""The torch side of training a reranker: import it only to train."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

from ragkit.errors import ConfigError, ModelError
from ragkit.train.decoder import is_decoder, last_states, prepare
from ragkit.train.groups import Group
from ragkit.train.settings import Loss, Steps


class Judge:
    """A sequence classifier with one output that scores texts for a question, and learns to."""

    def __init__(
        self, folder: Path, steps: Steps, device: str = "auto", *, teacher: Judge | None = None, half: bool = False
    ) -> None:
        """Load the encoder or decoder in `folder` (safetensors only); a classifier without weights begins random.

        A `teacher` is a judge whose verdicts are learnt beside the labels. `half`: on a GPU scores are computed in
        bfloat16, the last layer apart.

        Raises ModelError where it cannot be loaded or gives more than one output.
        """
        torch.manual_seed(steps.seed)
        shown = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        level = logging.get_verbosity()
        logging.set_verbosity_error()  # a new classifier is what is wanted here, not a fault
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
            self.model: Any = AutoModelForSequenceClassification.from_pretrained(
                str(folder), num_labels=1, local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
        except Exception as error:  # the library raises many unrelated types
            raise ModelError(
                f"The encoder in {folder} cannot be loaded as a classifier: {error}",
                hint="Give a folder or a hub id of an encoder such as all-MiniLM-L6-v2.",
            ) from error
        finally:
            logging.set_verbosity(level)
            if shown:
                logging.enable_progress_bar()
        self._decodes = is_decoder(self.tokenizer, self.model)
        if self._decodes:
            prepare(self.tokenizer, self.model)
        self.device = chosen_device(device)
        self.model.to(self.device)
        self.steps = steps
        self._teacher = teacher
        self._half = half

    def score(self, question: str, texts: Sequence[str], batch: int = 256) -> NDArray[np.float64]:
        """Return one logit for each text, shape (texts,)."""
        return self.score_pairs([(question, text) for text in texts], batch)

    def score_pairs(
        self, pairs: Sequence[tuple[str, str]], batch: int = 256, advance: Callable[[int], None] | None = None
    ) -> NDArray[np.float64]:
        """Return one logit for each pair of question and text, batches of like length; in float32 unless `half`."""
        self.model.eval()
        found = np.empty(len(pairs), np.float64)
        order = sorted(range(len(pairs)), key=lambda place: len(pairs[place][0]) + len(pairs[place][1]))
        with torch.inference_mode(), self._precision() if self._half else nullcontext():
            for start in range(0, len(order), batch):
                places = order[start : start + batch]
                logits = self._logits([pairs[place] for place in places])
                found[places] = logits.double().cpu().numpy()
                if advance is not None:
                    advance(len(places))
        return found

    def fit(
        self,
        epoch_groups: Callable[[int], Iterator[Group]],
        expected: int,
        extra: int = 0,
        *,
        advance: Callable[[int, float], None] | None = None,
        after_epoch: Callable[[int], bool] | None = None,
    ) -> None:
        """Train for the epochs of `steps` over about `expected` groups each, the first with `extra` more.

        `after_epoch` says whether to stop early. `advance` hears of each batch: its number of groups and its loss.
        Raises ModelError where the loss is no number.
        """
        steps = self.steps
        total = max(1, math.ceil((steps.epochs * expected + extra) / steps.batch))
        optimizer = torch.optim.AdamW(self._parameters(), lr=steps.rate)
        plan = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, total))
        torch.manual_seed(steps.seed)  # dropout, whatever was drawn before
        for epoch in range(steps.epochs):
            self.model.train()
            for batch in _batches(epoch_groups(epoch), steps.batch):
                loss = self._loss(batch)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                optimizer.step()
                plan.step()
                optimizer.zero_grad(set_to_none=True)
                if advance is not None:
                    advance(len(batch), float(loss.detach()))
            if after_epoch is not None and after_epoch(epoch):
                return

    def state(self) -> dict[str, Any]:
        """Return a copy of the weights, in memory."""
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in self.model.state_dict().items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to the weights of `state`."""
        self.model.load_state_dict(state)

    def save(self, folder: Path) -> None:
        """Write the model (safetensors) and its tokenizer to `folder`."""
        self.model.save_pretrained(str(folder))
        self.tokenizer.save_pretrained(str(folder))

    def _loss(self, batch: Sequence[Group]) -> Any:
        pairs = [(group.question, text) for group in batch for text in group.texts]
        with self._precision():
            logits = self._logits(pairs)
        held = [torch.from_numpy(group.holds).to(self.device) for group in batch]
        sizes = [len(one) for one in held]
        parts = torch.split(logits.float(), sizes)
        losses = [_loss(self.steps.loss, scores, holds) for scores, holds in zip(parts, held, strict=True)]
        loss = torch.stack(losses).mean()
        if self._teacher is not None:
            verdicts = torch.from_numpy(self._teacher.score_pairs(pairs)).float().to(self.device).split(sizes)
            loss = (loss + torch.stack([_divergence(*two) for two in zip(parts, verdicts, strict=True)]).mean()) / 2
        if not torch.isfinite(loss):
            raise ModelError("The loss is not a number any more.", hint="Train with a lower --rate.")
        return loss

    def _logits(self, pairs: Sequence[tuple[str, str]]) -> Any:
        features = self.tokenizer(
            [question for question, _ in pairs],
            [text for _, text in pairs],
            padding=True,
            truncation="longest_first",
            max_length=self.steps.length,
            return_tensors="pt",
        ).to(self.device)
        if not self._decodes:
            return self.model(**features).logits[:, 0]
        states = last_states(self.model, features)
        with torch.autocast(self.device.type, enabled=False):
            return self.model.score(states)[:, 0]

    def _precision(self) -> Any:
        return torch.autocast("cuda", torch.bfloat16) if self.device.type == "cuda" else nullcontext()

    def _parameters(self) -> list[dict[str, Any]]:
        """Return the weights with decay, and the biases and norms without."""
        flat = [one for one in self.model.parameters() if one.requires_grad]
        decayed = [one for one in flat if one.ndim > 1]
        return [
            {"params": decayed, "weight_decay": self.steps.decay},
            {"params": [one for one in flat if one.ndim <= 1], "weight_decay": 0.0},
        ]


def _loss(kind: Loss, scores: Any, holds: Any) -> Any:
    """Return the loss of one group.

    "listwise": the mean over texts with evidence of the cross-entropy against all texts without it. "binary": that of
    each text by itself, both classes with equal weight.
    """
    if kind == "binary":
        functional = torch.nn.functional
        with_evidence, without = -functional.logsigmoid(scores[holds]), -functional.logsigmoid(-scores[~holds])
        return (with_evidence.mean() + without.mean()) / 2
    rest = torch.logsumexp(scores[~holds], 0)
    return (torch.logaddexp(scores[holds], rest) - scores[holds]).mean()


def _divergence(scores: Any, verdicts: Any) -> Any:
    """Return the KL divergence of a group's scores from the teacher's verdicts, both as distributions over its texts.

    At a temperature of 2, times its square (Hinton et al., arXiv 1503.02531).
    """
    functional = torch.nn.functional
    told, said = functional.log_softmax(scores / 2, 0), functional.log_softmax(verdicts / 2, 0)
    return 4 * functional.kl_div(told, said, reduction="sum", log_target=True)


def _batches(found: Iterator[Group], size: int) -> Iterator[list[Group]]:
    batch: list[Group] = []
    for group in found:
        batch.append(group)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _rate(step: int, total: int) -> float:
    """Return the share of the highest rate at `step`: up over a tenth of all steps, then down to 0 in a line."""
    rise = max(1, total // 10)
    return (step + 1) / rise if step < rise else max(0.0, (total - step) / max(1, total - rise))


def chosen_device(device: str) -> torch.device:
    """Return the device of that name, for "auto" a GPU if there is one; raise ConfigError for one that is not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch without that kind of device asserts
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"There is no device {device!r} here: {reason}", hint="Use cpu, cuda, or auto.") from None
    return chosen
