"""Formulas of models and priors as HTML: letters with subscripts, matrices in brackets; without scripts or fonts."""

import re
from typing import Any

from markupsafe import Markup, escape

from bayesgmm.errors import visible

WIDEST = 4
"""Matrices with more columns are folded below their formula."""
MOST_IN_LINE = 12
"""Longest vector within a formula."""
NAMES = {"weights": "π"}
UPRIGHT = "ΠΣΛΨ"
SUBSCRIPT = re.compile(r"(\bweights|\b[A-Za-zα-ωΑ-Ω]²?|Π)_(\{[^}]*\}|\w+)")
VARIABLE = re.compile(r"\bweights\b|[α-ωΑ-ΠΡΤ-Ω]²?|Σ|\b[A-Zknxz]\b(?![\w(-])")
ZEROS = re.compile(r"(\d\.\d*?)0+(?!\d|e)|(\d\.\d*?)0+(?=e)")
POWER = re.compile(r"(\d)e([+-]\d+)")

Nested = list[Any]


def formula(line: str) -> Markup:
    """A line of `Belief.describe`, such as ``Σ_k ~ inverse-Wishart(df = 4, scale = [[1, 0], [0, 1]])``, as HTML.

    A matrix that is wider than `WIDEST` has a letter in the formula, and is folded below it.
    """
    parts, folded = [], []
    for text, array in _pieces(visible(line)):
        parts.append(_text(text))
        if array is None:
            continue
        if array and isinstance(array[0], list) and len(array[0]) > WIDEST:
            name = "S" if not folded else f"S_{len(folded) + 1}"
            folded.append((name, array))
            parts.append(_text(name))
        else:
            parts.append(_array(array, bare=_is_argument(text)))
    shown = Markup('<div class="formula">{}</div>').format(Markup("").join(parts))
    for name, array in folded:
        shown += Markup(
            '<details class="matrix"><summary>{} ({} × {})</summary><div class="scroll" tabindex="0">'
            '<div class="formula">{} = {}</div></div></details>'
        ).format(_text(name), len(array), len(array[0]), _text(name), _array(array))
    return shown


def _is_argument(text: str) -> bool:
    """Whether what follows is the only argument of a distribution, which needs no brackets."""
    return text.endswith("Dirichlet(")


def _pieces(line: str) -> list[tuple[str, Nested | None]]:
    """The line as texts, each followed by the array after it."""
    found, rest = [], line
    while "[" in rest:
        start = rest.index("[")
        end = _closing(rest, start)
        if end is None:
            break
        found.append((rest[:start], _parsed(rest[start : end + 1])))
        rest = rest[end + 1 :]
    return [*found, (rest, None)]


def _closing(text: str, start: int) -> int | None:
    """Position of the bracket that closes the one at `start`."""
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] == "[") - (text[i] == "]")
        if depth == 0:
            return i
    return None


def _parsed(text: str) -> Nested:
    """Nested lists of the words between brackets."""
    stack: list[Nested] = [[]]
    for word in re.findall(r"\[|\]|[^\[\],]+", text):
        if word == "[":
            stack[-1].append([])
            stack.append(stack[-1][-1])
        elif word == "]":
            stack.pop()
        elif word.strip():
            stack[-1].append(word.strip())
    return stack[0][0]


def _array(array: Nested, bare: bool = False) -> Markup:
    """A vector in parentheses, or a matrix in brackets."""
    if array and isinstance(array[0], list) and not any(isinstance(cell, list) for row in array for cell in row):
        rows = [Markup("<tr>{}</tr>").format(Markup("").join(_cell(cell) for cell in row)) for row in array]
        return Markup('<table class="matrix"><tbody>{}</tbody></table>').format(Markup("").join(rows))
    words = [_array(cell) if isinstance(cell, list) else _text(cell) for cell in array]
    if len(words) > MOST_IN_LINE and len(set(words)) == 1:
        words = [words[0], words[0], Markup("…"), words[0]]
    inner = Markup(", ").join(words)
    return inner if bare else Markup("({})").format(inner)


def _cell(value: str) -> Markup:
    return Markup("<td>{}</td>").format(_text(value))


def _text(text: str) -> Markup:
    """Words and numbers of a formula, with its letters in italics and signs of mathematics."""
    text = ZEROS.sub(lambda found: (found[1] or found[2]).rstrip("."), text)
    text = POWER.sub(lambda found: f"{found[1]} × 10^{int(found[2])}", text)
    found, last = Markup(""), 0
    for match in re.finditer(f"{SUBSCRIPT.pattern}|10\\^(-?\\d+)|{VARIABLE.pattern}", text):
        found += _plain(text[last : match.start()])
        last = match.end()
        if match[3] is not None:
            found += Markup("10<sup>{}</sup>").format(_signs(match[3]))
        elif match[1] is not None:
            below = Markup("").join(map(_index, re.findall(r"\w+|\W+", match[2].strip("{}"))))
            found += Markup("{}<sub>{}</sub>").format(_letter(match[1]), below)
        else:
            found += _letter(match[0])
    return found + _plain(text[last:])


def _index(text: str) -> Markup:
    """A part of a subscript: letters in italics, words and numbers upright."""
    return Markup("<i>{}</i>").format(text) if len(text) == 1 and text.isalpha() else _plain(text)


def _letter(name: str) -> Markup:
    """A variable; capital Greek letters and the product sign are upright."""
    name = NAMES.get(name, name)
    return escape(name) if name[0] in UPRIGHT else Markup("<i>{}</i>").format(name)


def _plain(text: str) -> Markup:
    return escape(_signs(text.replace("~", "∼")))


def _signs(text: str) -> str:
    """A minus before a digit or between blanks is one, and no hyphen."""
    return re.sub(r"(?<![\w])-(?=[\d∞])| - ", lambda found: found[0].replace("-", "−"), text)
