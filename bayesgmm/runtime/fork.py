"""Processes that were forked while JAX was running: their next JAX call would wait for ever."""

import os

from bayesgmm.errors import ForkError

_watched = _forked = False


def watch_forks() -> None:
    """From now on JAX runs in this process: note in its forked children that they cannot use JAX."""
    global _watched
    if not _watched and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_note)
    _watched = True


def refuse_fork() -> None:
    """Raise `ForkError` in a process that was forked while JAX was running."""
    if _forked:
        raise ForkError(
            "This process was forked from one in which JAX was running. JAX's threads do not survive a fork, so the "
            "run would wait for ever. Start the workers with multiprocessing.get_context('spawn') or 'forkserver', or "
            "with joblib's loky backend; or fork before the first fit."
        )


def _note() -> None:
    global _forked
    _forked = True
