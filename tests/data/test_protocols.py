"""Tables of any library are read by protocols, with their names; columns are put in order by name at prediction."""

import sys
import warnings

import duckdb
import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xarray as xr

import bayesgmm as bg
from bayesgmm.data.table import as_table
from bayesgmm.errors import DataError, MixingWarning


class Stream:
    """An object with the Arrow PyCapsule interface, and nothing else."""

    def __init__(self, frame):
        self._table = pa.table(frame)

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


class Batch:
    """The same for one batch."""

    def __init__(self, frame):
        self._table = pa.table(frame)

    def __arrow_c_array__(self, requested_schema=None):
        return self._table.combine_chunks().to_batches()[0].__arrow_c_array__(requested_schema)


class Interchange:
    """An object with the dataframe interchange protocol, and nothing else."""

    def __init__(self, frame):
        self._table = pa.table(frame.to_dict(as_series=False))  # the protocol has no string views

    def __dataframe__(self, nan_as_null=False, allow_copy=True):
        return self._table.__dataframe__(nan_as_null, allow_copy)


def relation(frame):
    return duckdb.from_arrow(pa.table(frame))


def reader(frame):
    return pa.RecordBatchReader.from_batches(pa.table(frame).schema, pa.table(frame).to_batches())


PROTOCOLS = {
    "duckdb": relation, "Arrow stream": Stream, "Arrow batch": Batch, "reader": reader, "interchange": Interchange,
    "narwhals, polars": lambda frame: nw.from_native(frame),
    "narwhals, lazy": lambda frame: nw.from_native(frame.lazy()),
    "narwhals, pandas": lambda frame: nw.from_native(pd.DataFrame(frame.to_dict(as_series=False))),
    "narwhals, Arrow": lambda frame: nw.from_native(pa.table(frame)),
    "narwhals, duckdb": lambda frame: nw.from_native(relation(frame)),
}  # fmt: skip
"""What makes such an object of a polars frame."""


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_tables_of_other_libraries_are_read_by_their_protocols(kind):
    frame = pl.DataFrame({"a": [1.5, 2.0, 0.5], "b": [1, None, 0]})
    table = as_table(PROTOCOLS[kind](frame))
    assert (table.features, table.named) == (("a", "b"), True)
    np.testing.assert_array_equal(table.values, [[1.5, 1.0], [2.0, np.nan], [0.5, 0.0]])
    with pytest.raises(DataError, match=r"Not numeric: s .*such as 'u'.*Here x is .*(pyarrow|to_native)"):
        as_table(PROTOCOLS[kind](frame.with_columns(s=pl.Series(["u", "v", "w"]))))


def test_a_query_of_duckdb_is_read():
    """Its numbers are decimals and huge integers, which are no doubles yet."""
    query = 'select 1.5 as length, 2::hugeint as "width, mm" union all select 3.25, null order by 1'
    table = as_table(duckdb.sql(query))
    assert table.features == ("length", "width, mm")
    np.testing.assert_array_equal(table.values, [[1.5, 2.0], [3.25, np.nan]])


class Broken:
    def __arrow_c_stream__(self, requested_schema=None):
        raise RuntimeError("the connection is closed")


def test_what_keeps_a_protocol_and_fails_is_refused(monkeypatch):
    with pytest.raises(DataError, match=r"Broken could not be read as a table \(the connection is closed\)"):
        as_table(Broken())
    frame = pl.DataFrame({"a": [1.5, 2.0]})
    closed = relation(frame)
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DataError, match=r"which is not installed: pip install 'bayesgmm\[parquet\]'"):
        as_table(closed)
    assert as_table(nw.from_native(frame)).features == ("a",)  # polars needs none


NAMED = PROTOCOLS | {
    "pandas": lambda frame: pd.DataFrame(frame.to_dict(as_series=False)),
    "polars": lambda frame: frame, "lazy": lambda frame: frame.lazy(), "Arrow table": pa.table,
    "record batch": lambda frame: pa.table(frame).combine_chunks().to_batches()[0],
    "xarray Dataset": lambda frame: xr.Dataset({name: ("row", frame[name].to_numpy()) for name in frame.columns}),
    "xarray DataArray": lambda frame: xr.DataArray(
        frame.to_numpy(), dims=("row", "feature"), coords={"feature": frame.columns}
    ),
    "structured": lambda frame: np.rec.fromarrays(frame.to_numpy().T, names=frame.columns),
}  # fmt: skip
"""Every kind of table that has names."""


@pytest.fixture(scope="module")
def results():
    """A fit, a posterior and a mixture without data, of features that are not in the order of the alphabet."""
    x = bg.load_dataset("faithful").rename(columns={"eruptions": "b", "waiting": "a"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixingWarning)
        posterior = bg.sample_gibbs(x, 2, num_warmup=20, num_samples=40, num_chains=2)
    fit = bg.fit_em(x, 2, n_init=2)
    return x, fit, posterior, bg.Mixture(fit.params, ("b", "a"))


@pytest.mark.parametrize("kind", NAMED)
def test_columns_of_new_data_are_put_in_order_by_name(results, kind):
    x, fit, posterior, mixture = results
    frame = pl.DataFrame({name: x[name].to_numpy()[:20] for name in ("b", "a")})
    swapped = frame.select("a", "b")
    rows = frame.to_numpy()
    np.testing.assert_array_equal(fit.predict_proba(NAMED[kind](swapped)), fit.predict_proba(rows))
    np.testing.assert_array_equal(posterior.predict_proba(NAMED[kind](swapped)), posterior.predict_proba(rows))
    np.testing.assert_array_equal(mixture.score_samples(NAMED[kind](swapped)), mixture.score_samples(rows))
    # Negative controls: without names the order counts, and other names are refused.
    assert not np.allclose(fit.predict_proba(swapped.to_numpy()), fit.predict_proba(rows))
    with pytest.raises(DataError, match="lack b"):
        fit.predict(NAMED[kind](swapped.rename({"b": "c"}).with_columns(d=pl.lit(1.0))))
