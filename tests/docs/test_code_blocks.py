"""Code blocks of every page of the documentation: they run, in order, as a reader would run them."""

import ast
import shlex
import traceback
import warnings

import matplotlib.pyplot as plt
import pytest
from oracles.effort import WHOLE
from oracles.pages import PAGES, blocks_of, commands_of

from bayesgmm.cli import commands

LONG = {
    "distribution", "known-classes", "known-parameters", "large-data", "noise", "number-of-components", "other-draws",
    "partitions", "references", "rows",
}  # fmt: skip
"""Pages that take a minute or more: they run in the whole slow suite only."""
WRITTEN = [
    pytest.param(page, marks=WHOLE if page.stem in LONG else pytest.mark.slow)
    for page in PAGES
    if "file_format: mystnb" not in page.read_text(encoding="utf-8")[:60]
]
"""Pages whose code is not executed when the site is built."""
OTHERS = {"make", "bash", "jq", "pip", "uv"}
"""Programs that console blocks call beside ours."""


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.stem)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space = {"__name__": "page"}
    exec("import numpy as np\nimport bayesgmm as bg", space)  # what pages assume
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few draws: pages speak of the warnings that matter
        for block in blocks_of(page):
            if block.language != "python":
                continue
            try:
                exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), space)
            except Exception as error:
                at = [
                    frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(page)
                ]
                raise AssertionError(f"{page.name}:{at[-1] if at else block.line}: {error!r}") from error
            finally:
                plt.close("all")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_can_be_read(page):
    """Python parses; a command of the shell is one of ours, with options that it has."""
    names = {one.name or one.callback.__name__ for one in commands.app.registered_commands if one.callback}
    for block in blocks_of(page):
        if block.language == "python":
            ast.parse(block.text)
            continue
        for command in commands_of(block):
            for part in command.split("|"):
                program, *rest = shlex.split(part)
                if program in OTHERS:
                    continue
                assert program == "bayesgmm", f"{page.name}: {command}"
                assert rest[0] in names or rest[0].startswith("-"), f"{page.name}: {command}"


def test_a_block_that_fails_is_found(tmp_path, monkeypatch):
    """Negative control."""
    page = tmp_path / "page.md"
    not_run = "<!-- not run: it needs a cluster -->\n\n```python\n1 / 0\n```"
    page.write_text(f"# Page\n\n```python\nx = 1\n```\n\n{not_run}\n\n```python\nx / 0\n```\n")
    assert [block.line for block in blocks_of(page)] == [4, 14]
    with pytest.raises(AssertionError, match=r"page.md:14: ZeroDivisionError"):
        test_python_blocks_run(page, tmp_path, monkeypatch)
