"""Tables of other libraries, read by the protocols that they keep: no class of theirs is named here."""

import warnings
from typing import Any

from bayesgmm.data.advice import library_of
from bayesgmm.errors import DataError

ARROW = ("__arrow_c_stream__", "__arrow_c_array__")
"""The Arrow PyCapsule interface: a stream of batches, or one batch."""


def opened(x: Any) -> tuple[Any, str]:
    """A table that another library made, as a table that `as_doubles` knows, and the call that makes it.

    Anything else is returned as it is, without a call. In this order: what wraps a frame of another library
    (narwhals: ``to_native``), the Arrow PyCapsule interface, and the dataframe interchange protocol.

    Parameters
    ----------
    x
        The data of the user. It may be a stream that can be read only once.

    Raises
    ------
    DataError
        If x keeps a protocol but could not be read, or pyarrow is missing.
    """
    library = library_of(x)
    if isinstance(x, type) or (library and not (library == "pyarrow" and not hasattr(x, "to_pandas"))):
        return x, ""
    if hasattr(x, "to_native") and hasattr(x, "__native_namespace__"):
        native, call = opened(x.to_native())
        return native, f"the result of x.to_native(){' in ' + call if call else ''}"
    if any(hasattr(x, name) for name in ARROW):
        return _read(x, _arrow), "pyarrow.table(x).to_pandas()"
    if hasattr(x, "__dataframe__"):
        return _read(x, _interchange), "pyarrow.interchange.from_dataframe(x).to_pandas()"
    return x, ""


def _arrow(x: Any) -> Any:
    import pyarrow as pa

    return pa.table(x).to_pandas()


def _interchange(x: Any) -> Any:
    from pyarrow.interchange import from_dataframe

    return from_dataframe(x).to_pandas()


def _read(x: Any, convert: Any) -> Any:
    try:
        with warnings.catch_warnings():  # pandas deprecates the interchange protocol; its own frames never come here
            warnings.simplefilter("ignore")
            return convert(x)
    except ImportError:
        raise DataError(
            f"A {type(x).__name__} is read by pyarrow, which is not installed: pip install 'bayesgmm[parquet]'. Or "
            "pass a pandas DataFrame."
        ) from None
    except Exception as error:  # the conversion runs code of other libraries
        reason = (str(error) or type(error).__name__).strip().splitlines()[0][:200]
        raise DataError(
            f"The {type(x).__name__} could not be read as a table ({reason}). Pass a pandas DataFrame or an array of "
            "numbers."
        ) from None
