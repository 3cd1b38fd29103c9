"""``python -m bench``: the suite."""

from bench.suite import main

main()
