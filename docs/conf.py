"""Documentation as a site: `make docs` builds it into docs/_build/html. Warnings are errors."""

import inspect
import os
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))

from made import COPIED, PICTURES, make_pages, with_links  # noqa: E402

project = "bayesgmm"
author = "The bayesgmm authors"
copyright = author
version = release = re.findall(r'"(.+?)"', (ROOT / "bayesgmm/version.py").read_text())[0]

extensions = [
    "myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon", "formulas",
    "sphinx_design", "sphinx_copybutton", "sphinxcontrib.bibtex",
]  # fmt: skip
exclude_patterns = ["_build", "_templates", "**.ipynb_checkpoints"]
EXECUTED = os.environ.get("BAYESGMM_DOCS", "cache")
"""What is executed: all that has changed (cache), pages but no notebooks (pages), or nothing (off)."""
suppress_warnings = [] if EXECUTED == "cache" else ["myst-nb.lexer"]  # no kernel has said its language

# Pages are Markdown; those with a kernel are executed, as are the notebooks.
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3
nb_execution_mode = "force" if EXECUTED == "pages" else EXECUTED
nb_execution_excludepatterns = ["tutorial/*"] if EXECUTED == "pages" else []
nb_execution_cache_path = str(HERE / "_build/executed")
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True

bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"

# Signatures show names and defaults; docstrings say types and shapes in words.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_generate = True
autosummary_ignore_module_all = False
napoleon_google_docstring = False
napoleon_use_rtype = False
default_role = "py:obj"
add_module_names = False

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "bayesgmm"
html_static_path = ["_static"]
templates_path = ["_templates"]
html_css_files = ["site.css"]
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "friendly",
    "pygments_dark_style": "github-dark",
}
html_show_sourcelink = False


def setup(app) -> None:
    """Hooks of Sphinx."""
    app.connect("source-read", read)
    app.connect("autodoc-skip-member", is_foreign)


def read(app, name: str, source: list[str]) -> None:
    """A page as Sphinx reads it: with links to the copies, and pictures of stored figures below the title."""
    if (HERE / f"{name}.md").exists() and f"{name}.md" not in COPIED.values():
        source[0] = with_links(source[0], HERE)
    if name in PICTURES:
        title, rest = source[0].split("\n", 1)
        source[0] = f"{title}\n\n![Stored figures of this page](made/{PICTURES[name]})\n{rest}"


def is_foreign(app, what: str, name: str, member, skip: bool, options) -> bool | None:
    """Methods inherited from another package are left out: their pages are there."""
    function = getattr(member, "fget", None) or getattr(member, "func", None) or getattr(member, "__func__", member)
    module = getattr(inspect.unwrap(function) if callable(function) else function, "__module__", None)
    return True if isinstance(module, str) and module.split(".")[0] != "bayesgmm" else None


make_pages()
