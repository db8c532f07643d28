"""Run an experiment and print what RESULTS.md shows of it; all its tables go to benchmarks/results/NAME.md.

    python -m benchmarks.experiment benchmarks/experiments/first.yaml [--jobs 8] [--matched-length N] [--data DIR]

With `--jobs`, the sets are run by so many processes first; the run that follows finds everything in the work folder.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from benchmarks.answer_tables import answers, attacks, controllers
from benchmarks.machine import describe
from benchmarks.summary import details, digest
from ragkit.eval.experiment.delivery import deliver
from ragkit.eval.experiment.run import RunOptions, default_work, run

HERE = Path(__file__).parent
TABLES = {"digest": digest, "answers": answers, "attacks": attacks, "controllers": controllers}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--matched-length", type=int)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--sample", type=int)
    parser.add_argument("--work", type=Path, default=None)
    parser.add_argument("--out", type=Path, help="also write results.json.gz, results.md and report.html there")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--tables", type=Path, default=HERE / "results")
    parser.add_argument("--table", choices=TABLES, default="digest", help="what is printed of the result")
    args = parser.parse_args()
    started = time.perf_counter()
    if args.jobs > 1:
        _each_set(args)
    options = RunOptions(
        work=args.work, data=args.data, sample=args.sample, matched_length=args.matched_length, progress=_progress
    )
    first = time.perf_counter()
    result = run(args.experiment, options)
    last = time.perf_counter()
    name = result.name + (f"-matched-{args.matched_length}" if args.matched_length else "")
    args.tables.mkdir(parents=True, exist_ok=True)
    (args.tables / f"{name}.md").write_text(details(result), encoding="utf-8")
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        deliver(result, args.out)
    print(f"{describe()}. {last - started:.0f} s in all", end="")
    print(f"; {last - first:.1f} s for the last pass, from the work folder." if args.jobs > 1 else ".")
    print(f"All measures, tests and notes: [results/{name}.md](results/{name}.md).\n")
    print("\n".join(TABLES[args.table](result)))


def _each_set(args: argparse.Namespace) -> None:
    content = yaml.safe_load(args.experiment.read_text(encoding="utf-8"))
    names = [_name(one) for one in content["sets"]]
    common = [sys.executable, "-m", "ragkit.cli.app", "eval", "run", str(args.experiment)]
    common += ["--work", str(args.work or default_work())]
    for option in ("data", "sample", "matched_length"):
        if getattr(args, option) is not None:
            common += [f"--{option.replace('_', '-')}", str(getattr(args, option))]

    def one(name: str) -> str:
        out = Path(args.work or default_work()) / "out" / name.replace(" ", "-")
        done = subprocess.run([*common, "--sets", name, "--out", str(out)], capture_output=True, text=True, check=False)
        return "" if done.returncode == 0 else f"{name}: {done.stderr[-2000:]}"

    with ThreadPoolExecutor(args.jobs) as pool:
        for failure in filter(None, pool.map(one, names)):
            print(failure, file=sys.stderr)


def _name(one: str | dict[str, object]) -> str:
    """Return the name of a set of an experiment file."""
    if isinstance(one, dict) and one.get("name"):
        return str(one["name"])
    return Path(str(one if isinstance(one, str) else one["load"]).partition(":")[2]).name


_shown: dict[str, float] = {}


def _progress(stage: str, done: int, total: int | None) -> None:
    if time.monotonic() - _shown.get(stage, 0.0) > 30:
        _shown[stage] = time.monotonic()
        print(f"{stage}: {done} of {total}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
