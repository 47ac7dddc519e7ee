"""The command line that makes a result again."""

import shlex
from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, get_args

from typer.models import ArgumentInfo

SILENT = ("quiet", "as_json", "form", "save")
"""Options that change no number."""


def command_of(command: Callable[..., Any], given: Mapping[str, Any]) -> str:
    """A command with its argument, the options that are not at their defaults, and the seed.

    Parameters
    ----------
    command
        The function, whose parameters are annotated by `typer.Option` and `typer.Argument`.
    given
        The value of each parameter.
    """
    words = ["bayesgmm", command.__name__]
    for name, parameter in signature(command).parameters.items():
        value, info = given[name], get_args(parameter.annotation)[1]
        if isinstance(info, ArgumentInfo):
            words.append(str(value))
        elif name not in SILENT and value is not None and (value != parameter.default or name == "seed"):
            option = next(iter(info.param_decls or ()), f"--{name.replace('_', '-')}")
            values = value if isinstance(value, list | tuple) else [value]
            words += [option] if value is True else [part for one in values for part in (option, str(one))]
    return shlex.join(words)
