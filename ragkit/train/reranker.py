"""`train_reranker`: from data sets with evidence to a cross-encoder that ranks sentences and chunks."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragkit.config import PipelineConfig
from ragkit.errors import ConfigError, UsageError
from ragkit.eval.datasets import split
from ragkit.eval.types import EvalSet, Query
from ragkit.identity import content_hash
from ragkit.models.hub import model_folder
from ragkit.models.profile import folder_fingerprint
from ragkit.protocols import Progress
from ragkit.train.apart import repeated_in_each
from ragkit.train.asked import Asked
from ragkit.train.card import Card
from ragkit.train.fitting import Fitting
from ragkit.train.folder import written_whole
from ragkit.train.groups import Drawing
from ragkit.train.mining import asked_of, described
from ragkit.train.ranking import Ranking, paired, ranking
from ragkit.train.settings import Steps

if TYPE_CHECKING:
    from ragkit.train.loop import Judge

LEAST_QUESTIONS = 20
"""Fewer questions with something to learn are refused: nothing could be held out of them."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides the trained model besides its data; everything is in its card."""

    encoder: str = "all-MiniLM-L6-v2"
    """What training begins with: an encoder, or a causal language model, which then judges at its last token."""
    teacher: str | None = None
    """A trained cross-encoder whose verdicts are learnt beside the labels."""
    k: int = 50
    """How many chunks are retrieved for a question; its negatives are among them."""
    held_out: float = 0.1
    """Share of each data set's questions that are not trained on; they share no evidence document with the others
    where the set allows it, and no question or evidence document with what another set trains on."""
    most_held_out: int = 300
    """Held-out questions that are scored after each epoch, drawn evenly."""
    patience: int = 1
    """Epochs without a better held-out recall after which training stops."""
    drawing: Drawing = field(default_factory=Drawing)
    steps: Steps = field(default_factory=Steps)

    def __post_init__(self) -> None:
        if not 0 < self.held_out < 1 or self.k < 1 or self.patience < 1 or self.most_held_out < 1:
            raise ConfigError(
                f"held_out is {self.held_out}, k {self.k}, patience {self.patience}, most_held_out "
                f"{self.most_held_out}; expected more than 0 and less than 1, and 1 or more.",
                hint="Correct the value.",
            )


@dataclass(frozen=True, slots=True)
class Trained:
    """The folder of a trained model and its card."""

    folder: Path
    card: Card


def train_reranker(
    sets: Sequence[EvalSet],
    out: Path,
    settings: Settings | None = None,
    *,
    config: PipelineConfig | None = None,
    work: Path | None = None,
    device: str = "auto",
    force: bool = False,
    progress: Progress | None = None,
) -> Trained:
    """Return the trained model in the folder `out`, which is there whole or not at all.

    `config` says how the sets are chunked and searched (None: recursive chunks of 200 tokens, hybrid search), `work`
    keeps their indexes, so that a second run need not make them. The same data, settings,
    libraries and processor give the same weights.

    Raises UsageError, naming the data set, for one without evidence that points at sentences, for too few questions,
    and for an `out` that holds something already (unless `force`); ModelError for an encoder that cannot be loaded;
    ConfigError for a `device` that is not there.
    """
    settings = settings or Settings()
    _check_device(device)
    config = config or PipelineConfig.from_mapping({"chunker": {"name": "recursive", "size": 200}})
    with written_whole(out, force=force) as part:
        encoder = model_folder(settings.encoder, progress=progress)
        with tempfile.TemporaryDirectory() as scratch:
            train, held, data = _data(sets, work or Path(scratch), settings, config, progress)
        baseline = _baselines(held, settings, config, progress)
        judge = _loaded(encoder, settings, device)
        shown = sampled(held, settings.most_held_out)
        fitting = Fitting(settings.drawing, settings.patience, progress)
        epochs, best = fitting.fitted(judge, train, shown)
        judge.save(part)
        card = Card(
            encoder=settings.encoder,
            encoder_fingerprint=folder_fingerprint(encoder),
            teacher=None if settings.teacher is None else folder_fingerprint(model_folder(settings.teacher)),
            data=data,
            # a remote chunk store's address may hold a password
            settings={
                **asdict(settings),
                "device": str(judge.device),
                "pipeline": config.model_dump(mode="json", exclude={"kv_reuse": {"remote"}}),
            },
            epochs=epochs,
            held_out=_compared(best, baseline),
            libraries={name: version(name) for name in ("ragkit", "torch", "transformers")},
        )
        (part / "README.md").write_text(card.as_markdown(), encoding="utf-8")
        (part / "ragkit_card.json").write_text(card.as_json(), encoding="utf-8")
    return Trained(out, card)


def _data(
    sets: Sequence[EvalSet], work: Path, settings: Settings, config: PipelineConfig, progress: Progress | None
) -> tuple[list[Asked], list[Asked], list[dict[str, Any]]]:
    """Return the questions to train on, those held out, and what the card says of them."""
    found: list[tuple[EvalSet, list[Asked], list[Asked]]] = []
    data = []
    for one in sets:
        asked = asked_of(one, work / index_name(one, config), config, k=settings.k, progress=progress)
        kept_out = held_out_ids(one, [item.query.query_id for item in asked], settings)
        learn = [item for item in asked if item.query.query_id not in kept_out]
        found.append((one, learn, [item for item in asked if item.query.query_id in kept_out]))
        data.append({**described(one, asked), "held out": len(kept_out)})
    out = repeated_in_each([(one, _queries(learn), _queries(held)) for one, learn, held in found])
    for row, ids in zip(data, out, strict=True):
        row["held out by another set"] = len(ids)
    train = [
        item for (_, learn, _), ids in zip(found, out, strict=True) for item in learn if item.query.query_id not in ids
    ]
    held = [item for _, _, own in found for item in own]
    learnable = sum(item.found for item in train)
    if learnable < LEAST_QUESTIONS or not held:
        raise UsageError(
            f"There are {learnable} questions to learn from and {len(held)} held out; expected at least "
            f"{LEAST_QUESTIONS}, and one.",
            hint="Give more questions with evidence, or another --held-out.",
        )
    return train, held, data


def index_name(evalset: EvalSet, config: PipelineConfig) -> str:
    """Return the folder of the index of `evalset`: another one for every configuration that indexes otherwise."""
    built = config.model_dump(mode="json", exclude={"selector", "controller", "language_model", "kv_reuse"})
    return f"{evalset.fingerprint[:16]}-{content_hash('index to train on', config=built)[:8]}"


def _queries(asked: Sequence[Asked]) -> list[Query]:
    return [item.query for item in asked]


def held_out_ids(evalset: EvalSet, usable: Sequence[str], settings: Settings) -> set[str]:
    """Return which of the `usable` questions are held out: no evidence document in common where that can be had."""
    queries = tuple(query for query in evalset.queries if query.query_id in set(usable))
    part = replace(evalset, queries=queries)
    try:
        first, _ = split(part, settings.steps.seed, settings.held_out)
    except UsageError:  # all its questions hang together by their documents
        if len(queries) < 2:
            return set()
        first, _ = split(part, settings.steps.seed, settings.held_out, by="queries")
    return {query.query_id for query in first.queries}


def _baselines(
    held: Sequence[Asked], settings: Settings, config: PipelineConfig, progress: Progress | None
) -> dict[str, Ranking]:
    """Return what the untrained scorers of sentences reach on the held-out questions."""
    from ragkit.parts import make_embedder
    from ragkit.selectors.extractive_fusion import FusedSentences
    from ragkit.selectors.extractive_scoring import CosineSentences

    embedder = make_embedder(config)
    shown = sampled(held, settings.most_held_out)
    return {
        scorer.name: ranking(shown, scorer.score, progress=progress, stage=f"{scorer.name} on held-out questions")
        for scorer in (CosineSentences(embedder, context=0.0), FusedSentences(embedder))
    }


def sampled(asked: Sequence[Asked], most: int) -> list[Asked]:
    """Return at most `most` of `asked`, evenly spaced."""
    if len(asked) <= most:
        return list(asked)
    return [asked[place * len(asked) // most] for place in range(most)]


def _check_device(device: str) -> None:
    """Raise ConfigError for a device that is not there, before anything is computed."""
    from ragkit.train.loop import chosen_device

    chosen_device(device)


def _loaded(encoder: Path, settings: Settings, device: str) -> Judge:
    from ragkit.train.loop import Judge

    teacher = None if settings.teacher is None else Judge(model_folder(settings.teacher), settings.steps, device)
    return Judge(encoder, settings.steps, device, teacher=teacher)


def _compared(best: Ranking, baseline: dict[str, Ranking]) -> dict[str, Any]:
    rows: dict[str, Any] = {"trained": {**best.means(), "recall gained by the trained one": ""}}
    for name, found in baseline.items():
        gain = paired(best.recall, found.recall)
        rows[name] = {
            **found.means(),
            "recall gained by the trained one": f"{gain['mean']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]",
        }
    return rows
