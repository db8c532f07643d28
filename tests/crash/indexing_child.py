"""Says that it is ready, waits for a line, then runs `ragkit index` to be killed in the middle."""

from __future__ import annotations

import sys

from ragkit import pipeline  # imported before the clock starts, so that the kill meets the work and not the imports
from ragkit.cli.app import main

if __name__ == "__main__":
    sys.stdout.write(f"ready {pipeline.__name__}\n")
    sys.stdout.flush()
    sys.stdin.readline()
    sys.argv = ["ragkit", "index", *sys.argv[1:], "--json"]
    main()
