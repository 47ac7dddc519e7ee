"""The Dask cluster of this session, and what is said when it fails. Nothing here imports Dask."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bayesgmm.errors import ArgumentError, BayesGMMError, ClusterError, DataError

GONE = ("KilledWorker", "NoValidWorkerError", "WorkerStartTimeoutError", "MemoryError")
CLOSED = ("CancelledError", "CommClosedError", "TimeoutError", "ClosedClientError")
CLUSTERS = (None, "dask.distributed", "distributed")
RESUME = "If the call had checkpoint=, the same call resumes the run."


def active_client() -> Any | None:
    """The client that Dask would use now; None if there is none: then Dask computes in this process.

    Raises
    ------
    ArgumentError
        If the client is asynchronous.
    """
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    from dask import config

    if config.get("scheduler", None) not in CLUSTERS:
        return None
    try:
        client = distributed.default_client()
    except ValueError:
        return None
    if client.asynchronous:
        raise ArgumentError("The active Dask client is asynchronous. Use Client(address) without asynchronous=True.")
    return client


@contextmanager
def on_workers(what: str, client: Any = None) -> Iterator[None]:
    """Raise the errors of Dask, and of the graph of the user, as errors of bayesgmm; `client` runs what is under way.

    Raises
    ------
    ClusterError
        If workers died repeatedly, or the cluster is gone.
    DataError
        If a partition cannot be computed.
    """
    try:
        yield
    except BayesGMMError:
        raise
    except Exception as error:  # a graph runs any code
        raise as_ours(error, what, client is None or client.status == "running") from error


def as_ours(error: Exception, what: str, running: bool = True) -> BayesGMMError:
    """The error to raise for one of Dask or of a graph; `running` says whether the client still has its cluster."""
    names = {base.__name__ for base in type(error).__mro__}
    said = (str(error) or type(error).__name__).strip().splitlines()[0][:200]
    if names & set(GONE):
        return ClusterError(
            f"Dask gave up {what}, because the workers that ran it died or ran out of memory "
            f"({type(error).__name__}: {said}). Use smaller partitions, or workers with more memory. {RESUME}"
        )
    if names & set(CLOSED) or not running:
        return ClusterError(
            f"Dask gave up {what} ({type(error).__name__}: {said}). The cluster was closed or restarted, or lost data "
            f"that it cannot compute again, such as data scattered by the client. Make x again on a running cluster. "
            f"{RESUME}"
        )
    if isinstance(error, ModuleNotFoundError) and "bayesgmm" in said:
        return ClusterError(f"The workers of the Dask cluster have no bayesgmm ({said}). Install it there.")
    return DataError(f"Dask failed {what} ({type(error).__name__}: {said}). Check that x.compute() works.")
