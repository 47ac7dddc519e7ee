"""The draws of a posterior, or the estimate of a fit, as one table."""

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.results.parameters import flatten
from bayesgmm.runtime.written_tables import Written

if TYPE_CHECKING:
    import pandas as pd


class DrawsTable(Written):
    """What gives parameters in one table of numbers."""

    def to_dataframe(self) -> "pd.DataFrame":
        """A row per draw: ``chain``, ``draw``, ``lp``, and a column per weight, mean and covariance (each once).

        The names are those of ArviZ, as in `intervals`: ``weights[0]``, ``means[0, waiting]``,
        ``covariances[0, eruptions, waiting]``. ``lp`` is the log posterior density (of a fit: its objective). A fit is
        one draw of one chain. Covariances that the family holds at 0 are left out.
        """
        import pandas as pd

        from bayesgmm.results.summary import shown_parameters

        own: Any = self
        values, lp = flatten(own.params), getattr(own, "objective", None)
        lp = own.log_likelihood + own.log_prior if lp is None else lp
        values = values.reshape(-1, *values.shape[-2:]) if values.ndim == 3 else values[None, None]
        chains, draws = values.shape[:2]
        kept, names = shown_parameters(values, own.table, own.n_components)
        places = {"chain": np.repeat(np.arange(chains), draws), "draw": np.tile(np.arange(draws), chains)}
        columns = values[..., kept].reshape(chains * draws, -1)
        return pd.DataFrame(places | {"lp": np.ravel(lp)}).join(pd.DataFrame(columns, columns=names))
