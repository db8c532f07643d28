"""The files of a result by everything that they depend on: when nothing changed, they are written without computing."""

from __future__ import annotations

import json
import platform
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ragkit.errors import StorageError
from ragkit.eval.experiment.code import code_hash, installed
from ragkit.eval.experiment.delivery import REPORT, deliver
from ragkit.eval.experiment.indexes import corpus_fingerprint
from ragkit.eval.experiment.machine import machine
from ragkit.eval.experiment.named_files import named_files
from ragkit.eval.experiment.orders import orders_of
from ragkit.eval.experiment.replay import NAME, load_result
from ragkit.eval.experiment.run import RunOptions, Task, default_work, prepared
from ragkit.eval.experiment.store import key
from ragkit.eval.results import ExperimentResult
from ragkit.identity import content_hash

MOST_KEPT = 8
"""Deliveries that the work folder keeps; the oldest go first."""

_CONTENTS = "complete.json"


def run_to(
    path: Path, folder: Path | None = None, options: RunOptions | None = None
) -> tuple[ExperimentResult, list[Path]]:
    """Return the result of the experiment in `path` and the files written to `folder` (NAME-results if None).

    Where all that the files depend on is as in an earlier run, they are copied from the work folder and their date is
    that of the earlier run. With `answer:` they are made anew, because they say how many replies came from a cache.
    Raises what `run` and `deliver` raise.
    """
    options = options or RunOptions()
    with prepared(path, options) as task:
        target = Path(f"{task.experiment.name}-results") if folder is None else folder
        if task.experiment.answer is not None:
            result = task.result()
            return result, deliver(result, target)
        kept = (options.work or default_work()) / "delivered" / delivery_key(task)
        files = _again(kept, target)
        if files is not None:
            return load_result(target), files
        result = task.result()
    files = deliver(result, target)
    _keep(files, kept)
    return result, files


def delivery_key(task: Task) -> str:
    """Return the name of the files of `task`: equal names, equal files but for times.

    It names the experiment, the options, every data set with its documents, every system with its chunker, embedder
    and tokenizer, all files of ragkit, the versions of all installed packages, and the machine.
    """
    workshop, sets = task.workshop, [item.evalset for item in task.loaded]
    return key(
        "delivery",
        experiment=task.experiment.model_dump_json(),
        options=[task.options.sample, task.options.matched_length],
        sets=[
            [one.name, one.fingerprint, corpus_fingerprint(one), item.whole, item.segmented, list(one.dropped)]
            for one, item in zip(sets, task.loaded, strict=True)
        ],
        systems=[repr(system) for system in task.systems],
        files=named_files([system.config.selector.options for system in task.systems]),
        baseline=task.baseline.name,
        measures=[str(measure) for measure in task.measures],
        indexes=[
            [
                None if order is None else order.name
                for order in orders_of(workshop, task.systems, one, whole=item.whole)
            ]
            for one, item in zip(sets, task.loaded, strict=True)
        ],
        tokenizer=workshop.tokenizer.fingerprint,
        code=code_hash(),
        packages=installed(),
        machine=[machine(), platform.python_version()],
    )


def _again(kept: Path, target: Path) -> list[Path] | None:
    """Return the files copied from `kept` to `target`, None where they are not there whole."""
    try:
        hashes = json.loads((kept / _CONTENTS).read_text(encoding="utf-8"))
        contents = {name: (kept / name).read_bytes() for name in hashes}
    except (OSError, ValueError, TypeError):
        return None
    if NAME not in contents or any(_hash(content) != hashes[name] for name, content in contents.items()):
        return None
    return _write(contents, target)


def _write(contents: Mapping[str, bytes], folder: Path) -> list[Path]:
    """Write every file, whole or not at all; raise StorageError where that fails."""
    files = [folder / name for name in contents]
    for file, content in zip(files, contents.values(), strict=True):
        part = file.with_name(f"{file.name}.part")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            part.write_bytes(content)
            part.replace(file)
        except OSError as error:
            raise StorageError(f"{file}: {error.strerror}.", hint="Choose another folder with --out.") from error
    return files


def _keep(files: Sequence[Path], kept: Path) -> None:
    """Keep the files in `kept`, whole or not at all, unless the report could not be made; drop the oldest others."""
    if REPORT not in {file.name for file in files}:
        return
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=kept.parent, prefix="part-"))
        contents = {file.name: file.read_bytes() for file in files}
        _write(contents, made)
        hashes = {name: _hash(content) for name, content in contents.items()}
        (made / _CONTENTS).write_text(json.dumps(hashes), encoding="utf-8")
        shutil.rmtree(kept, ignore_errors=True)
        made.replace(kept)
        others = sorted(kept.parent.iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)
        for old in others[MOST_KEPT:]:
            shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise StorageError(
            f"{kept} cannot be written: {error.strerror}.", hint="Check the disk, or give another folder with --work."
        ) from error


def _hash(content: bytes) -> str:
    return content_hash("delivered file", content=content)
