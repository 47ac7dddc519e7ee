"""Inputs by their seed, one worker process that runs them, and a watch over it that ends what hangs."""

import json
import os
import resource
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from .outcome import FAULTS, TABLES, Outcome

LIMIT = 60.0
"""Seconds of the processor that one call may take."""
MEMORY = 16 * 2**30
"""Bytes of address space of the worker. JAX reserves more than it uses."""
TESTS = Path(__file__).parent.parent


class Input:
    """The call of a seed: which callable, which parameters were changed, the text of every argument."""

    def __init__(self, seed: int, table: dict):
        from .callables import RETURNS, properties
        from .inputs import draw

        rng = np.random.default_rng([seed, 16])
        names = list(table)
        chances = np.array([max(1, len(call.kinds)) * call.weight for call in table.values()])
        self.name = names[rng.choice(len(names), p=chances / chances.sum())]
        self.call = table[self.name]
        kinds = self.call.kinds
        num = min(len(kinds), 1 + (rng.random() < 0.2))
        self.changed = sorted(rng.choice(list(kinds), num, replace=False).tolist()) if num else []
        drawn = {name: draw(kinds[name], rng) for name in self.changed}
        self.must_refuse = any(
            sort == "bad" and text != self.call.base.get(name) for name, (text, sort) in drawn.items()
        )  # the text of the valid call is never bad
        self.arguments = self.call.base | {name: text for name, (text, _) in drawn.items()}
        self.then = ""
        if self.name in RETURNS and rng.random() < 0.4:
            reads = [one for one in properties(RETURNS[self.name]) if "plot" not in one]
            self.then = f".{reads[rng.integers(len(reads))]}"
        self.key = f"{self.name}({'+'.join(self.changed)})"

    @property
    def text(self) -> str:
        from .callables import written

        return written(self.call, self.arguments) + self.then

    def run(self, names: dict, seconds: float = LIMIT) -> Outcome:
        """Evaluate the arguments, then call."""
        from .outcome import observe, place

        if self.call.target == "cli":
            return observe(lambda: eval(self.text, names), self.must_refuse, seconds)  # the words are literals
        from bayesgmm.errors import BayesGMMError

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                function = eval(self.call.target, names)
                arguments = {name: eval(text, names) for name, text in self.arguments.items()}
        except BayesGMMError as error:
            return Outcome("typed", type(error).__name__, place(error), str(error))
        except Exception as error:
            ours = place(error)
            return Outcome("harness" if ours == "outside" else "foreign", type(error).__name__, ours, str(error)[:200])

        def call():
            result = function(**arguments)
            if self.then and not self.must_refuse:
                return {"result": result, self.then.strip(".()"): eval(f"result{self.then}", {"result": result})}
            return result

        found = observe(call, self.must_refuse, seconds)
        return Outcome("fine") if found.sort == "not finite" and self.name in TABLES else found


def work(seeds, folder: Path) -> None:
    """Run inputs in this process; write the seed before each call, and one line after it."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    os.environ["MPLBACKEND"] = "Agg"
    from . import objects
    from .callables import table

    objects.files()
    calls = table()
    with open(folder / "outcomes.jsonl", "a", encoding="utf-8") as lines:
        for number, seed in enumerate(seeds):
            one = Input(seed, calls)
            (folder / "now").write_text(f"{seed}\n{one.key}\n{one.text}", errors="replace")
            start = time.perf_counter()
            outcome = one.run(objects.NAMES)
            record = {"seed": seed, "key": one.key, "text": one.text, "seconds": round(time.perf_counter() - start, 2)}
            lines.write(json.dumps(record | outcome._asdict()) + "\n")
            lines.flush()
            _tidy(number)


def _tidy(number: int) -> None:
    plots = sys.modules.get("matplotlib.pyplot")
    if plots is not None:
        plots.close("all")
    if number % 500 == 499:
        import jax

        jax.clear_caches()


def watch(start: int, stop: int, folder: Path, report=print) -> list[dict]:
    """Run the inputs of these seeds in worker processes: a call that hangs or ends its process costs only itself."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "outcomes.jsonl").unlink(missing_ok=True)
    now = folder / "now"
    while start < stop:
        now.unlink(missing_ok=True)
        begin = time.time()
        words = [sys.executable, "-m", "fuzz", "work", str(start), str(stop), str(folder)]
        with open(folder / "stderr", "w") as errors:
            worker = subprocess.Popen(words, stderr=errors, env=os.environ | {"PYTHONPATH": _path()})
            hung = False
            while worker.poll() is None:
                time.sleep(0.2)
                since = now.stat().st_mtime if now.exists() else begin + 300.0
                if time.time() - since > 4 * LIMIT:
                    hung = True
                    worker.kill()
                    worker.wait()
        if worker.returncode == 0:
            break
        if not now.exists():
            raise RuntimeError((folder / "stderr").read_text()[-3000:])
        seed, key, text = now.read_text().split("\n", 2)
        last = (folder / "stderr").read_text()[-300:]
        fault = Outcome("slow" if hung else "crash", f"exit code {worker.returncode}", "", last)
        with open(folder / "outcomes.jsonl", "a", encoding="utf-8") as lines:
            lines.write(json.dumps({"seed": int(seed), "key": key, "text": text} | fault._asdict()) + "\n")
        report(f"{fault.sort}: seed {seed}, {text}")
        start = int(seed) + 1
    return read(folder)


def _path() -> str:
    """The folders of the package under test and of the tests, first."""
    import bayesgmm

    return os.pathsep.join([str(Path(bayesgmm.__file__).parent.parent), str(TESTS)])


def read(folder: Path) -> list[dict]:
    with open(folder / "outcomes.jsonl", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def grouped(records: list[dict], examples: int = 1) -> str:
    """Counts of outcomes, and faults by callable, kind of error and line of the package, with the parameters changed."""
    counts = Counter(record["sort"] for record in records)
    lines = [f"{len(records)} inputs: " + ", ".join(f"{counts[sort]} {sort}" for sort in ("fine", "typed", *FAULTS))]
    groups: dict[tuple, list[dict]] = {}
    for record in records:
        if record["sort"] in FAULTS:
            name = record["key"].partition("(")[0]
            groups.setdefault((record["sort"], name, record["error"], record["place"]), []).append(record)
    for (sort, name, error, place), found in sorted(groups.items(), key=lambda group: (group[0][0], -len(group[1]))):
        changed = ", ".join(sorted({one["key"].partition("(")[2][:-1] for one in found}))
        lines.append(f"{sort:10} {len(found):4} × {name}({changed}): {error} at {place}")
        lines += [
            f"             {one['seed']}: {one['text'][:300]}  → {one['message'][:150]!r}" for one in found[:examples]
        ]
    return "\n".join(lines)
