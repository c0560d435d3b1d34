"""`python -m benchmarks …` is `gridward bench …`."""

import sys

from gridward.bench.main import main

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
