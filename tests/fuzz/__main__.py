"""`python -m tests.fuzz SEED` shows the call of a seed and its traceback; `… run START STOP FOLDER` runs many."""

import sys
import traceback
from pathlib import Path


def main() -> None:
    words = sys.argv[1:]
    if words and words[0] == "work":
        from .run import work

        work(range(int(words[1]), int(words[2])), Path(words[3]))
    elif words and words[0] == "run":
        from .run import grouped, watch

        folder = Path(words[3])
        report = grouped(watch(int(words[1]), int(words[2]), folder))
        (folder / "report.txt").write_text(report + "\n")
        print(report)
    elif len(words) == 1 and words[0].isdigit():
        show(int(words[0]))
    else:
        print(__doc__)


def show(seed: int) -> None:
    from . import objects
    from .callables import table
    from .run import Input

    objects.files()
    one = Input(seed, table())
    print(f"{one.text}\nmust be refused: {one.must_refuse}\n{one.run(objects.NAMES)}\n")
    try:
        print(repr(eval(one.text, objects.NAMES))[:2000])
    except Exception:
        traceback.print_exc()


if __name__ == "__main__":
    main()
