"""Measure what RESULTS.md reports and write it there: the text stays, the blocks between markers are replaced.

    python -m benchmarks.results                      every block, in order: hours on two cores
    python -m benchmarks.results first peers          these blocks
    python -m benchmarks.results first --jobs 8       experiments with so many processes
    python -m benchmarks.results first --write DIR    only write the blocks to DIR, for another machine's RESULTS.md
    python -m benchmarks.results --insert DIR         put in what another machine wrote

A block is the standard output of one command, `BLOCKS[name]`, between `<!-- begin name -->` and `<!-- end name -->`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS.md"

EXPERIMENTS = {
    "first": ["first.yaml"],
    "retrieval": ["retrieval.yaml"],
    "peers": ["peers.yaml"],
    "peers-matched": ["peers.yaml", "--matched-length", "150"],
    "meta": ["meta.yaml", "--matched-length", "150"],
    "answers": ["answers.yaml"],
    "selector-answers": ["selector-answers.yaml", "--table", "answers"],
    "attacks": ["attacks.yaml", "--table", "attacks"],
    "verifier": ["verifier.yaml", "--table", "attacks"],
    "controllers": ["controllers.yaml", "--table", "controllers"],
    "order-answers": ["order.yaml", "--table", "answers"],
    "segmentation": ["segmentation.yaml"],
    "segmentation-meta": ["segmentation-meta.yaml", "--matched-length", "160"],
}
MODULES = {
    "evidence": ["evidence"],
    "chunking": ["chunking"],
    "query": ["query"],
    "lexical": ["lexical"],
    "formats": ["formats"],
    "alignment": ["alignment"],
    "scoring": ["scoring"],
    "coverage": ["coverage"],
    "cached-rerun": ["cached_rerun"],
    "selectors": [
        "selector_table",
        str(HERE / "experiments" / "selectors.yaml"),
        "--plot",
        str(HERE / "results" / "selectors.svg"),
    ],
    "selector-speed": ["selector_speed"],
    "calibration": ["calibration"],
    "prompt-order": ["prompt_order"],
    "anytime": ["anytime"],
    "perplexity-speed": ["perplexity_speed"],
    "perplexity-memory": ["perplexity_speed", "--memory", "2000000"],
    "chunker-cost": ["chunker_cost"],
    "kv-cost": ["kv_cost", "--exponents", "1.0"],
    "kv-hits": ["kv_hits", "--sets", "squad_a"],
    "kv-ttft": ["kv_ttft"],
    "kv-bookkeeping": ["kv_bookkeeping"],
    "kv-tiers": ["kv_tiers"],
    "kv-preload": ["kv_preload"],
    "kv-preload-slow": ["kv_preload", "--limit", "100"],
}


def blocks(jobs: int, given: list[str]) -> dict[str, list[str]]:
    """Return the command of each block."""
    python = [sys.executable, "-m"]
    found = {name: [*python, f"benchmarks.{module}", *rest] for name, (module, *rest) in MODULES.items()}
    for name, (file, *rest) in EXPERIMENTS.items():
        path = str(HERE / "experiments" / file)
        found[name] = [*python, "benchmarks.experiment", path, *rest, "--jobs", str(jobs), *given]
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", help="blocks to measure; all where none is named")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--insert", type=Path)
    args, given = parser.parse_known_args()
    if args.insert is not None:
        for path in sorted(args.insert.glob("*.block.md")):
            insert(path.name.removesuffix(".block.md"), path.read_text(encoding="utf-8"))
        return
    known = blocks(args.jobs, given)
    unknown = [name for name in args.names if name not in known]
    if unknown:
        parser.error(f"no block named {', '.join(unknown)}; there are {', '.join(known)}")
    failed = [name for name in args.names or known if not measured(name, known[name], args.write)]
    if failed:
        sys.exit(f"not measured: {', '.join(failed)}; their blocks are as they were")


def measured(name: str, command: list[str], folder: Path | None) -> bool:
    """Run the command of a block and put what it prints in place; return whether it succeeded."""
    print(f"{time.strftime('%H:%M:%S')} {name}: {' '.join(command[1:])}", file=sys.stderr, flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        return False
    if folder is None:
        insert(name, done.stdout)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.block.md").write_text(done.stdout, encoding="utf-8")
    return True


def insert(name: str, text: str) -> None:
    """Replace the block `name` of RESULTS.md by `text`; exit with a message where it has none."""
    content = RESULTS.read_text(encoding="utf-8")
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    before, found, rest = content.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        sys.exit(f"{RESULTS} has no block {begin} ... {end}; add the two markers where it belongs")
    RESULTS.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
