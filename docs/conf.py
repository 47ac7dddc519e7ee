"""Documentation as a site: `make docs` builds it into docs/_build/html. Warnings are errors."""

import os
import re
import shutil
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent

project = "bayesgmm"
author = "The bayesgmm authors"
copyright = author
version = release = re.findall(r'"(.+?)"', (ROOT / "bayesgmm/version.py").read_text())[0]

extensions = [
    "myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon", "sphinx.ext.mathjax",
    "sphinx_design", "sphinx_copybutton", "sphinxcontrib.bibtex",
]  # fmt: skip
exclude_patterns = ["_build", "**.ipynb_checkpoints"]

# Pages are Markdown; those with a kernel are executed, as are the notebooks.
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3
nb_execution_mode = os.environ.get("BAYESGMM_DOCS", "cache")
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

html_theme = "pydata_sphinx_theme"
html_title = "bayesgmm"
html_static_path = ["_static"]
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

COPIED = {"notebooks": "tutorial", "benchmarks/README.md": "benchmarks.md", "CHANGELOG.md": "changelog.md"}
COPIED |= {"ARCHITECTURE.md": "architecture.md"}
"""Pages whose source lies outside of this folder: a copy is made here, which git ignores."""


def copy_pages() -> None:
    """Copy them, with links as they are from here."""
    for source, target in COPIED.items():
        place = ROOT / source
        if place.is_dir():
            shutil.copytree(place, HERE / target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*checkpoints*"))
            continue
        text, folder = place.read_text(encoding="utf-8"), place.parent
        links = re.split(r"(?<=\]\()((?!https?:|#)[^)]+)(?=\))", text)  # every second one is a link
        links[1::2] = [moved(link, folder) for link in links[1::2]]
        (HERE / target).write_text("".join(links), encoding="utf-8")


def moved(link: str, folder: Path) -> str:
    """A relative link of a file in a folder, as it is from here."""
    path, _, anchor = link.partition("#")
    target = (folder / path).resolve()
    copies = {(ROOT / source).resolve(): copy for source, copy in COPIED.items()}
    found = copies.get(target, os.path.relpath(target, HERE))
    return found + ("#" + anchor if anchor else "")


copy_pages()
