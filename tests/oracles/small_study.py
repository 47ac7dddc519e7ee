"""A small study that several tests run, and its lines without seconds."""

import json

import bayesgmm as bg

TRUTH = bg.Params.of([0.6, 0.4], [[0.0, 0.0], [4.0, 1.0]], [[[1.0, 0.3], [0.3, 1.0]], [[0.5, 0.0], [0.0, 2.0]]])
SHORT = {"num_warmup": 100, "num_samples": 200, "test_rows": 50, "progress_bar": False}
TIMES = ("seconds", "compile_seconds")


def run(**arguments):
    return bg.study(TRUTH, **{"n": (50, 56), "num_replicates": 4, "engines": ("em", "gibbs"), **SHORT, **arguments})


def timeless(study):
    """All that was kept, without seconds."""
    lines = json.loads(json.dumps(list(study.lines.values())))
    for line in lines:
        for found in line["engines"].values():
            for name in TIMES:
                found.pop(name, None)
    return sorted(lines, key=lambda line: (line["cell"], line["replicate"]))
