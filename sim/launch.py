"""Process that calls cocotb's runner: ``python -m sim.launch SIMULATOR build|test FILE.json``.

The runner takes its settings from the environment and prints; a process of its own gets the right
environment, and can be ended.
"""

import json
import logging
import sys
from pathlib import Path

from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner


def main() -> int:
    """Call ``build`` or ``test`` with the keywords in the file."""
    simulator, step, path = sys.argv[1:]
    keywords = json.loads(Path(path).read_text(encoding="utf-8"))
    logging.basicConfig(stream=sys.stdout, format="%(message)s")
    runner = get_runner(simulator)
    if step == "build":
        runner.build(**keywords)
        return 0
    _, failed = get_results(runner.test(**keywords))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
