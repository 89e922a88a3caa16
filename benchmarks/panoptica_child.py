"""Measure with panoptica, on demand: a child of :mod:`benchmarks.metrics` that runs in an environment without our packages.

Each line of standard input is a JSON object: with ``folder`` and ``spacing_mm`` it names a pair of label maps, an empty one asks
for DSC and HD95 of it. Each answer is one line: the values and the CPU seconds.
"""

import contextlib
import json
import sys
import time
from pathlib import Path

import numpy as np
from panoptica import InputType, Metric, MetricMode, Panoptica_Evaluator, disable_citation_reminder


def main() -> None:
    """Answer until standard input ends."""
    disable_citation_reminder()
    answers = sys.stdout
    evaluator = Panoptica_Evaluator(
        expected_input=InputType.MATCHED_INSTANCE, instance_metrics=[Metric.DSC, Metric.HD95], global_metrics=[]
    )
    print("ready", file=answers, flush=True)
    pair, spacing = [], ()
    for line in sys.stdin:
        question = json.loads(line)
        answer: dict[str, object] = {}
        if question:
            pair = [np.load(Path(question["folder"]) / f"{name}.npy") for name in ("prediction", "reference")]
            spacing = tuple(question["spacing_mm"])
        else:
            before = time.process_time()
            with contextlib.redirect_stdout(sys.stderr):
                (result,) = evaluator.evaluate(*pair, result_all=False, voxelspacing=spacing).values()
                dsc, hd95 = (result.get_list_metric(one, MetricMode.ALL) for one in (Metric.DSC, Metric.HD95))
            seconds = time.process_time() - before
            answer = {"seconds": seconds, "dsc": list(map(float, dsc)), "hd95": list(map(float, hd95))}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
