"""How often the kit finds something in a dropout that has no fault: a report for each of many seeds.

python bench/conformance/false_alarms.py --reports 1000 --json bench/results/false_alarms.json
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from puredrop import __version__, conformance
from puredrop.conformance.foreign.adapt.own import own_target

VARIANTS = ("dropout", "dropout2d", "alpha_dropout")
APART = 1000  # seeds of one report are within this


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=1000, help="for each variant")
    parser.add_argument("--variant", action="append", help=f"default: {', '.join(VARIANTS)}")
    parser.add_argument("--json", help="where the result goes")
    args = parser.parse_args()
    results = [alarms(variant, args.reports) for variant in args.variant or VARIANTS]
    for result in results:
        print(json.dumps(result))
    if args.json:
        Path(args.json).write_text(json.dumps({"puredrop": __version__, "results": results}, indent=1) + "\n")


def alarms(variant: str, reports: int) -> dict[str, object]:
    """All checks on puredrop's own variant, its masks recovered, for that many seeds."""
    target = own_target(conformance.CASES[variant], "numba", return_mask=False)
    began, found, checks = time.perf_counter(), [], 0
    for number in range(reports):
        report = conformance.check(target, variant, seed=number * APART)
        checks += sum(result.status == "passed" for result in report.results)
        found += [f"seed {number * APART}: {finding}" for finding in report.findings]
    seconds = time.perf_counter() - began
    return {
        "variant": variant,
        "backend": "numba",
        "reports": reports,
        "checks passed": checks,
        "findings": found,
        "seconds a report": round(seconds / reports, 3),
    }


if __name__ == "__main__":
    main()
