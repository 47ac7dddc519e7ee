"""A table of numbers that shows of each row the digits that its standard deviation justifies."""

import pandas as pd

from bayesgmm.numerics.chains import QUALITY
from bayesgmm.runtime.formatting import as_html, as_text, fitting, shown_as


class SummaryTable(pd.DataFrame):
    """A table that holds all digits, and shows those that the standard deviation of its row justifies."""

    @classmethod
    def of(cls, rows: dict[str, dict[str, float]], index: str | None = None) -> "SummaryTable":
        """A table with these rows, which have a standard deviation ``sd``."""
        return cls(pd.DataFrame.from_dict(rows, orient="index").rename_axis(index))

    @property
    def _constructor(self):
        return pd.DataFrame

    def shown(self) -> pd.DataFrame:
        """The table as strings."""
        quality = [name for name in QUALITY if name in self.columns]
        rhat, ess = shown_as("worst R-hat"), shown_as("smallest ESS")
        form = {"mcse": lambda value: fitting(value, value)[0], "r_hat": rhat, "ess_bulk": ess, "ess_tail": ess}
        numbers, rows = self.drop(columns=quality), []
        sds, values, costs = self["sd"].to_numpy(), numbers.to_numpy(), self[quality].to_numpy()
        for sd, row, cost in zip(sds, values, costs, strict=True):
            rows.append([*fitting(row, sd), *(form[name](one) for name, one in zip(quality, cost, strict=True))])
        return pd.DataFrame(rows, index=self.index, columns=[*numbers.columns, *quality])

    def __repr__(self) -> str:
        return as_text("", self)

    def _repr_html_(self) -> str:
        return as_html("", self)
