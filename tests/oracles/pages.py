"""Code blocks of the documentation, as a reader would run them: those of a page in order, in one session."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMENT = re.compile(r"<!--\s*(before:|not run:)\s?(.*?)-->", re.DOTALL)
BLOCK = re.compile(r"^( *)```(python|console)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)


class Code(NamedTuple):
    """A block of a page."""

    line: int
    language: str
    """``"python"`` or ``"console"``."""
    text: str


def blocks_of(page: Path) -> list[Code]:
    """Blocks to run. ``<!-- before: … -->`` is code that the page does not show; ``<!-- not run: why -->`` stands before
    a block that cannot run here."""
    text = page.read_text(encoding="utf-8")
    found, left_out = [], set()
    for match in COMMENT.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        if match[1] == "before:":
            found.append(Code(line, "python", match[2]))
        else:
            assert len(match[2].strip()) > 10, f"{page.name}:{line} does not say why"
            left_out.add(match.end())
    for match in BLOCK.finditer(text):
        if any(text[end : match.start()].strip() == "" for end in left_out if end <= match.start()):
            continue
        indent = len(match[1])
        code = "".join(line[indent:] for line in match[3].splitlines(keepends=True))
        found.append(Code(text.count("\n", 0, match.start()) + 2, match[2], code))
    return sorted(found)


def commands_of(code: Code) -> list[str]:
    """What a reader types in a console block."""
    joined = code.text.replace("\\\n", " ")
    return [line[2:].split("  #")[0].strip() for line in joined.splitlines() if line.startswith("$ ")]
