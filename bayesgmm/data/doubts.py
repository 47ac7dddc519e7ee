"""Texts with separators that have more than one meaning are refused, with the calls of pandas for each meaning."""

import re

from bayesgmm.data.layout import Layout, counts, records_of
from bayesgmm.data.marks import MISSING, is_number, is_plain
from bayesgmm.data.read_call import Source, repairs
from bayesgmm.errors import DataError


def either(*calls: tuple[str, str | None]) -> str:
    """The calls that work, each with its condition, as a sentence."""
    found = [f"{condition} {call}" for condition, call in calls if call]
    return f" {'; '.join(found)}.".replace(" if", " If", 1) if found else ""


def refuse_lines_above(layout: Layout, source: Source) -> None:
    """A title, or names above units."""
    if not layout.above:
        return
    title = " ".join(filter(None, layout.above[0]))[:40]
    names = ", ".join(layout.header[:4]) + (", …" if len(layout.header) > 4 else "")
    first = len(layout.above[0]) == layout.width and all(layout.above[0]) and len(layout.above) == 1
    calls = [(f"if line {layout.line} has the names, pass", source.call(skiprows=layout.line - 1))]
    if first:
        calls.append(("if it has units, pass", source.call(skiprows=[layout.line - 1])))
    raise DataError(
        f"{source.name}: line 1 ({title!r}) stands above line {layout.line} ({names}), which has no numbers either. "
        f"Keep one line of names.{either(*calls)}"
    )


def refuse_empty_line(text: str, name: str) -> None:
    """An empty line in a single column may be a missing value."""
    line = text.index("\n\n", len(text) - len(text.lstrip()))
    raise DataError(
        f"{name}, line {text.count(chr(10), 0, line) + 2}: empty, in a file with one column. Is a value missing? "
        "Remove the line, or fill in the value."
    )


def refuse_whole_names(layout: Layout, source: Source) -> None:
    """A first row of whole numbers may be names (years) or data."""
    if all(value.isdigit() for value in layout.bare):
        call = source.call(header=None)
        raise DataError(
            f"The first row of {source.name} has numbers ({', '.join(layout.bare[:4])}), not names. If they are names, "
            f"choose them with --columns. If they are data, add a header row{f', or pass {call}' if call else ''}."
        )


def refuse_numbers_among_names(layout: Layout, source: Source) -> None:
    """A first row with a number such as 2.5 beside a text is hardly one of names."""
    names = [layout.header[d] for d in layout.numeric] if len(layout.header) == layout.width else []
    broken = [name for name in names if is_number(name) and re.search(r"\d", name) and not name.isdigit()]
    if not broken or layout.bare:
        return
    others = [name for name in names if not is_number(name)]
    texts = ",".join(map(repr, others))
    call = source.call(header=None, na_values=others)
    raise DataError(
        f"The first row of {source.name} has the number {broken[0]} beside {', '.join(map(repr, others[:3]))}: is it a "
        f"row of data, or of names? If they are names, choose them with --columns. If they are data, add a row of names"
        f"{f', or pass {call}, which takes {texts} for not seen' if call else ''}."
    )


def refuse_numbered_rows(layout: Layout, source: Source) -> None:
    """A single column with values 1,5 2,7 3,9 … may hold decimal commas, or numbers of rows and a feature."""
    if layout.width == 1 and counts([row[0].partition(",")[0] for row in layout.rows]):
        calls = (
            ("if a decimal comma, pass", source.call(sep=";", decimal=",")),
            ("if numbers of rows and a feature, pass", source.call(sep="", index_col=0)),
        )
        raise DataError(
            f"{source.name} has one name and rows such as {layout.rows[0][0]}: a decimal comma, or two columns?"
            f"{either(*calls)}"
        )


def marks_in_doubt(values: tuple[str, ...], text: str, layout: Layout, source: Source, has_header: bool) -> DataError:
    """The error for marks of decimals and thousands without one meaning: the values that show it, and what to call."""
    records = [one for one in records_of(text, layout.separator) if len(one[1]) == layout.width][has_header:]
    labels = [*[""] * (layout.width - len(layout.header)), *layout.header] if has_header else range(layout.width)
    columns, places = {}, {}
    for d, label in enumerate(labels):
        texts = [fields[d].strip() for _, fields in records]
        for value in set(values) & set(texts):
            places.setdefault(value, f"{value} in line {records[texts.index(value)][0]}, column {label}")
        bad = [value for value in texts if not is_plain(value) and value.lower() not in MISSING]
        if len(values) == 1:  # between semicolons a plain 1.234 is in doubt too
            bad = [value for value in texts if value in bad or "." in value]
        if bad and label != "":
            columns[label] = texts, bad
    shown = " and ".join(places.get(value, value) for value in values)
    more = {} if has_header else {"header": None}
    advice = repairs(source, columns, **more, **({"index_col": 0} if labels[0] == "" else {}))
    advice = f" {advice}" if advice else " Write all numbers with decimal points and without marks of thousands."
    if len(values) > 1:
        return DataError(f"{source.name} mixes decimal marks: {shown}.{advice}")
    return DataError(f"{source.name} has {shown}. Is the mark of decimals or of thousands?{advice}")
