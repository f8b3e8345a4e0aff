"""Run benchmarks: `python -m bench [NAME...] [--quick] [--minutes N] [--write | --check]`."""

import argparse
import sys
from pathlib import Path

import uvloop

from bench import gate, report, results
from bench.figures import FIGURES, run
from bench.processes import LOAD_CORE, pin
from bench.results import Options

DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="What the daemon does, as ratios in one run.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"figures to run, all when none: {', '.join(FIGURES)}")
    parser.add_argument("--quick", action="store_true", help="short runs, for a smoke test")
    parser.add_argument("--minutes", type=float, help="the length of the outage and the soak (10 each; quick 0.5)")
    parser.add_argument(
        "--write", action="store_true", help=f"keep the results and write docs/{DOCUMENT.name} from them"
    )
    parser.add_argument("--check", action="store_true", help="only judge the ratio bars, in up to three quick tries")
    given = parser.parse_args()
    if unknown := set(given.names) - set(FIGURES):
        parser.error(f"there is no figure {', '.join(sorted(unknown))}; there are: {', '.join(FIGURES)}")
    return given


async def measure(given: argparse.Namespace) -> None:
    options = Options(quick=given.quick, minutes=given.minutes)
    for name in given.names or FIGURES:
        result = await run(name, options)
        print(report.plain(result), flush=True)
        if given.write:
            results.keep(result)
            report.write(DOCUMENT, results.read())


def main() -> int:
    given = arguments()
    pin(LOAD_CORE)
    if given.check:
        return uvloop.run(gate.check(given.names))
    uvloop.run(measure(given))
    return 0


if __name__ == "__main__":
    sys.exit(main())
