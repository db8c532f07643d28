"""Training the judges of `benchmarks.judge`: settings chosen on one set, then all sets together, then all scores."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from benchmarks.judge_pack import NEIGHBOURS, READ, half, read, unpacked, written
from ragkit.models.hub import model_folder
from ragkit.train.asked import Asked
from ragkit.train.fitting import Fitting, InMemory
from ragkit.train.groups import Drawing
from ragkit.train.loop import Judge
from ragkit.train.ranking import Ranking, paired, ranking
from ragkit.train.settings import Steps

Kind = Literal["encoder", "decoder", "student"]
Settings = dict[str, tuple[Drawing, Steps]]

ENCODER: Settings = {
    "listwise, cloze": (Drawing(cloze=2), Steps(epochs=3, batch=16, rate=2e-4)),
    "listwise": (Drawing(), Steps(epochs=3, batch=16, rate=2e-4)),
    "listwise, cloze, half the rate": (Drawing(cloze=2), Steps(epochs=3, batch=16, rate=1e-4)),
    "binary, cloze": (Drawing(cloze=2), Steps(epochs=3, batch=16, rate=2e-4, loss="binary")),
}
DECODER: Settings = {
    "listwise": (Drawing(), Steps(epochs=2, batch=8, rate=4e-5, length=256)),
    "listwise, cloze": (Drawing(cloze=1), Steps(epochs=2, batch=8, rate=4e-5, length=256)),
    "listwise, double the rate": (Drawing(), Steps(epochs=2, batch=8, rate=8e-5, length=256)),
}
STUDENT: Settings = {"listwise, cloze": (Drawing(cloze=2), Steps(epochs=4, batch=16, rate=2e-4))}
QUICK: Settings = {"quick": (Drawing(size=4, positives=1, cloze=1), Steps(epochs=1, batch=4, length=48))}
SETTINGS: dict[Kind, Settings] = {"encoder": ENCODER, "decoder": DECODER, "student": STUDENT}
"""Tried in this order, as far as the time allows; the one with the best recall on the validation set, alone or fused,
is trained again with it."""
DECODER_MODEL = "SmolLM2-135M-Instruct"

WEIGHTS = (0.0, 1.0, 2.5, 5.0, 10.0, 20.0)
"""Of the judge beside the five views of `fusion`."""
PART = 14 * 2**20
"""Bytes of one part of the weights."""


class Chosen(NamedTuple):
    """What was best on the validation set: recall, setting, weight beside fusion, epochs."""

    recall: float
    setting: str
    weight: float
    epochs: int


@dataclass(slots=True)
class Training:
    """One kind of judge, from the packed questions in `work` to its scores in `out`; models are kept in `models`.

    No further setting is tried once half of `seconds` are over.
    """

    kind: Kind
    work: Path
    models: Path
    out: Path
    device: str = "auto"
    quick: bool = False
    seconds: float = 230.0
    report: dict[str, Any] = field(default_factory=dict)
    began: float = field(default_factory=time.perf_counter)

    def run(self) -> None:
        """Choose a setting on the validation set, train with it on everything, score all pairs, write it all."""
        self.out.mkdir(parents=True, exist_ok=True)
        self.models.mkdir(parents=True, exist_ok=True)
        rows, content = unpacked(read(self.work / "train.json.gz")), read(self.work / "validation.json.gz")
        validation, fused = unpacked(content), [np.array(own) for own in content["fused"]]
        if self.quick:
            rows, validation, fused = rows[:40], validation[:10], fused[:10]
        best = self._chosen(rows, validation[::2], fused[::2])
        drawing, steps = self.settings[best.setting]
        told = asdict(drawing) | asdict(steps)
        self.report["chosen"] = {**told, **best._asdict(), "weight": min(best.weight, 1e6)}
        judge = self._judge(replace(steps, epochs=best.epochs), "final")
        Fitting(drawing).fit(judge, [*rows, *(one for one in validation if one.found)])
        self._keep(judge, "final")
        self._score(judge)
        if self.kind != "decoder":
            _in_parts(judge, self.out)
        self.report["seconds"] = round(time.perf_counter() - self.began, 1)
        (self.out / "report.json").write_text(json.dumps(self.report, indent=1))
        print(json.dumps(self.report["chosen"]), f"{self.report['seconds']} s", flush=True)

    @property
    def settings(self) -> Settings:
        """The settings to choose from."""
        return QUICK if self.quick else SETTINGS[self.kind]

    def _chosen(self, rows: Sequence[Asked], watched: Sequence[Asked], fused: Sequence[np.ndarray]) -> Chosen:
        self.report |= {"trained on": len(rows), "chosen by": len(watched), "settings": {}}
        found: list[Chosen] = []
        for name, (drawing, steps) in self.settings.items():
            if time.perf_counter() - self.began > self.seconds / 2:
                self.report["settings"][name] = "not tried: no time left"
                continue
            judge = self._judge(steps, "chosen")
            epochs, _ = Fitting(drawing, patience=2).fitted(judge, rows, watched[::3])
            last = 1 + int(np.argmax([row["recall within half"] + row["reciprocal rank"] for row in epochs]))
            here = list(self._compared(name, judge, watched, fused, epochs, last))
            if max(here).recall > max(found, default=Chosen(-1.0, "", 0.0, 0)).recall:
                self._keep(judge, "chosen")
            found += here
            print(f"{name}: {time.perf_counter() - self.began:.0f} s", flush=True)
            print(json.dumps(self.report["settings"][name]), flush=True)
        if not found:
            sys.exit("nothing was trained")
        return max(found)

    def _compared(
        self,
        name: str,
        judge: Judge,
        watched: Sequence[Asked],
        fused: Sequence[np.ndarray],
        epochs: list[dict[str, Any]],
        last: int,
    ) -> Iterator[Chosen]:
        """Report how a trained judge ranks the validation set, alone and fused; yield each way of using it."""
        judged = _judged(judge, watched)
        figures = {weight: fused_ranking(watched, judged, fused, weight) for weight in (*WEIGHTS, np.inf)}
        told = {
            f"weight {weight:g}": {**found.means(), "gained over fusion": paired(found.recall, figures[0.0].recall)}
            for weight, found in figures.items()
        }
        self.report["settings"][name] = {"epochs": epochs, **told}
        for weight, found in figures.items():
            if weight:
                yield Chosen(float(found.recall.mean()), name, weight, last)

    def _judge(self, steps: Steps, stage: str) -> Judge:
        """Return an untrained judge; a student's teacher is the decoder of the same stage, which saw as much as it."""
        if self.kind == "decoder":
            return Judge(model_folder(DECODER_MODEL), steps, self.device, half=True)
        teacher = None
        if self.kind == "student":
            teacher = Judge(self.models / f"decoder-{stage}", replace(steps, length=256), self.device, half=True)
        return Judge(self.work / "encoder", steps, self.device, teacher=teacher)

    def _keep(self, judge: Judge, stage: str) -> None:
        folder = self.models / f"{self.kind}-{stage}"
        shutil.rmtree(folder, ignore_errors=True)
        judge.save(folder)

    def _score(self, judge: Judge) -> None:
        content = read(self.work / "pairs.json.gz")
        questions, texts = content["questions"], content["texts"]
        places = content["pairs"][:50] if self.quick else content["pairs"]
        judge.steps = replace(judge.steps, length=512)  # what the reranker reads, which is never shorter
        scores = judge.score_pairs([(questions[question], texts[text]) for question, text in places], 512)
        content["pairs"], content["scores"] = places, [round(float(score), 5) for score in scores]
        written(self.out / "scores.json.gz", content)


def _judged(judge: Judge, asked: Sequence[Asked]) -> list[np.ndarray]:
    """Return the judge's scores of the sentences of each question's best hits."""
    from ragkit.selectors.extractive_judging import JudgedSentences

    scorer = JudgedSentences(InMemory(judge), NEIGHBOURS)
    return [np.concatenate(scorer.score(one.query.question, one.hits[:READ], one.sentences[:READ])) for one in asked]


def fused_ranking(
    asked: Sequence[Asked], judged: Sequence[np.ndarray], fused: Sequence[np.ndarray], weight: float
) -> Ranking:
    """Return how the judge ranks beside the five views, as `FusedSentences` weighs them; infinite: the judge alone."""
    waiting = iter(zip(judged, fused, strict=True))

    def score(_: str, __: Any, sentences: Any) -> list[np.ndarray]:
        own, views = next(waiting)
        spread = own.std()
        told = (own - own.mean()) / spread if spread > 1e-12 else np.zeros(len(own))
        both = told if np.isinf(weight) else 5 * views + weight * told
        return np.split(both, np.cumsum([len(one) for one in sentences])[:-1])

    return ranking(asked, score, k=READ)


def _in_parts(judge: Judge, out: Path) -> None:
    """Write the weights, halved, in files that are easily copied: `join` makes a model folder of them again."""
    with tempfile.TemporaryDirectory() as scratch:
        judge.save(Path(scratch) / "model")
        half(Path(scratch) / "model", Path(scratch) / "half")
        content = (Path(scratch) / "half" / "model.safetensors").read_bytes()
    for number, start in enumerate(range(0, len(content), PART)):
        (out / f"model.part{number}").write_bytes(content[start : start + PART])
