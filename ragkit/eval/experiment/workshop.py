"""What all systems of an experiment share: the work folder, embedders, the evaluation tokenizer, the progress."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock

from ragkit.config import PartConfig, PipelineConfig
from ragkit.eval.experiment.chunking import evaluation_tokenizer
from ragkit.eval.experiment.metering import MeteredModel, Metering
from ragkit.eval.experiment.questions import QuestionMemory
from ragkit.eval.experiment.store import Store
from ragkit.parts import language_model, make_embedder, watched
from ragkit.protocols import Progress


class Workshop:
    """Made once for a run; embedders are made once for each configuration of one."""

    def __init__(self, work: Path, tokenizer: str, progress: Progress | None = None) -> None:
        """Use the folder `work`; `tokenizer` names the evaluation tokenizer."""
        self.work = work
        self.tokenizer = evaluation_tokenizer(tokenizer)
        self.store = Store(work / "results.sqlite")
        self._progress = progress
        self._embedders: dict[str, QuestionMemory] = {}
        self._models: dict[str, MeteredModel] = {}
        self._making = Lock()
        self._done: dict[str, int] = {}

    def embedder(self, config: PipelineConfig) -> QuestionMemory:
        """Return the embedder of `config`, the same one for equal configurations."""
        name = config.embedder.model_dump_json()
        if name not in self._embedders:
            self._embedders[name] = QuestionMemory(make_embedder(config))
        return self._embedders[name]

    def language_model(self, part: PartConfig) -> MeteredModel:
        """Return the language model `part` with what its calls took, the same one for equal parts."""
        name = part.model_dump_json()
        with self._making:  # threads that ask questions side by side ask for it at the same time
            if name not in self._models:
                metering = Metering()
                with watched(metering):
                    self._models[name] = MeteredModel.of(language_model(part), part, metering)
        return self._models[name]

    def stage(self, name: str, total: int) -> Callable[[int], None]:
        """Return a function that counts on towards `total` of the stage `name`."""

        def advance(by: int) -> None:
            self._done[name] = self._done.get(name, 0) + by
            if self._progress is not None:
                self._progress(name, self._done[name], total)

        return advance

    def close(self) -> None:
        """Write what was computed and close the store."""
        self.store.close()

    def __enter__(self) -> Workshop:
        """Return the workshop itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the workshop, also after an error or Ctrl-C."""
        self.close()
