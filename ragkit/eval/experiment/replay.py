"""Results on disk, and scoring them again from the hits they hold: no model, no index, no data set is needed."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from ragkit.errors import LoadError, StorageError
from ragkit.eval.experiment.chunking import evaluation_tokenizer
from ragkit.eval.experiment.depth import Depth
from ragkit.eval.experiment.outcome import clusters_of, query_of, token_spans
from ragkit.eval.experiment.scoring import Judge, left_out, scored
from ragkit.eval.metrics import Measure
from ragkit.eval.metrics.evaluate import checked
from ragkit.eval.results import ExperimentResult, SetResult
from ragkit.eval.statistics.bootstrap import RESAMPLES

NAME = "results.json.gz"


def save(result: ExperimentResult, path: Path) -> None:
    """Write `result` to `path`, whole or not at all; raise StorageError where that fails."""
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(gzip.compress(result.model_dump_json().encode("utf-8"), 3, mtime=0))
        part.replace(path)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}.", hint="Choose another folder with --out.") from error


def load_result(path: Path) -> ExperimentResult:
    """Return the result in `path` (the file, or the folder that holds it); raise LoadError if there is none."""
    file = path / NAME if path.is_dir() else path
    try:
        return ExperimentResult.model_validate_json(gzip.decompress(file.read_bytes()))
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise LoadError(
            f"{file} cannot be read: {reason}.", hint=f"Give a {NAME} that `ragkit eval run` wrote."
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise LoadError(
            f"{file} holds no result of this version: {place or 'content'}: {first['msg']}.",
            hint="Run the experiment again with this ragkit; what is cached is not computed again.",
        ) from None


def rescored(result: ExperimentResult, measures: Sequence[str] = ()) -> ExperimentResult:
    """Return `result` with its hits scored again, by `measures` (its own if none are given).

    Raises UsageError for a measure that is unknown, or that looks deeper than the hits that were kept.
    """
    wanted = list({str(measure): measure for measure in checked(measures or result.measures, "retrieval")}.values())
    depth = Depth.stored(result.experiment.get("stored_depth") or Depth(everything=True).as_dict())
    for measure in wanted:
        depth.check(measure)
    judge = Judge(result.seed, int(result.experiment.get("resamples", RESAMPLES)))
    sets = [_rescored_set(part, wanted, judge, result) for part in result.sets]
    return result.model_copy(update={"measures": [str(measure) for measure in wanted], "sets": sets})


def _rescored_set(part: SetResult, measures: Sequence[Measure], judge: Judge, result: ExperimentResult) -> SetResult:
    queries = [query_of(record) for record in part.queries]
    needs_tokens = any(dict(measure.settings).get("unit") == "tokens" for measure in measures)
    tokens = None
    if needs_tokens:
        tokenizer = evaluation_tokenizer(str(result.experiment.get("tokenizer", "words")))
        tokens = token_spans(part.documents, measures, tokenizer)
    scores, counted = {}, part.counted
    for run in part.runs:
        hits = [run.hits[query.query_id] for query in queries]
        scores[run.system], counted = scored(queries, hits, run.boundaries, measures, tokens)
    baseline = part.baseline or result.baseline
    intervals, comparisons = judge.judged(scores, measures, baseline, clusters_of(queries, counted))
    return part.model_copy(
        update={
            "counted": counted,
            "left_out": left_out(queries, counted),
            "runs": [run.model_copy(update={"scores": scores[run.system]}) for run in part.runs],
            "intervals": intervals,
            "comparisons": comparisons,
        }
    )
