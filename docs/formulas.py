"""Formulas of the site as MathML: they show without a network and without a script."""

import re

from docutils.nodes import SkipNode
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging

LETTER = re.compile(r"\\(mathcal|mathrm|mathbb) ([A-Za-z])")
"""A letter in another face without braces, which the converter takes for an italic one."""
PRIMED = re.compile(r"(\\[A-Za-z]+|[A-Za-z])_(\w|\{[^}]*\})'")
"""A prime above an index: browsers draw it too small where the font is none of mathematics."""
APART = re.compile(r"\\(log|exp|sim)(?![A-Za-z])")
"""What the converter sets without space."""


def setup(app: Sphinx) -> None:
    """Register the renderer of formulas."""
    app.add_html_math_renderer("mathml", (inline, leave), (block, leave))


def inline(translator, node) -> None:
    """A formula within a line."""
    translator.body.append(mathml(node, "inline"))
    raise SkipNode


def block(translator, node) -> None:
    """A formula on lines of its own, which scrolls where the page is narrow."""
    translator.body.append(f'<div class="formula">{mathml(node, "block")}</div>')
    raise SkipNode


def leave(translator, node) -> None:
    """Nothing is left to close."""


def mathml(node, display: str) -> str:
    """The formula as MathML; a warning for what is not understood, and for environments, of which rows may be lost."""
    formula = PRIMED.sub(r"{\1′}_\2", LETTER.sub(r"\\\1{\2}", node.astext()))
    formula = APART.sub(lambda found: r"\;\sim\;" if found[1] == "sim" else rf"\{found[1]}\,", formula)
    found = convert(formula, display=display)
    if r"\begin" in formula or re.search(r"&(amp|#x00026);|\\", found):
        logging.getLogger(__name__).warning("formula is not understood: %s", formula, location=node)
    return found
