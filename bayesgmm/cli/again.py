"""The command line that makes a result again."""

import shlex

import typer
from typer.core import TyperArgument

SILENT = ("quiet", "as_json", "form", "save")
"""Options that change no number."""


def command_of(context: typer.Context) -> str:
    """The command of a context: its arguments, the options that are not at their defaults, and the seed."""
    words = ["bayesgmm", str(context.info_name)]
    for one in context.command.params:
        value, name = context.params.get(one.name or ""), one.opts[0]
        if isinstance(one, TyperArgument):
            words.append(str(value))
        elif one.name not in SILENT and value is not None and (value != one.default or one.name == "seed"):
            values = value if isinstance(value, list | tuple) else [value]
            words += [name] if value is True else [part for each in values for part in (name, str(each))]
    return shlex.join(words)
