"""Rows in Arrow IPC (Feather) files, and data sets of pyarrow, which may be of any format that pyarrow reads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bayesgmm.data.on_disk.parquet import columns_of, is_number, numbers_of
from bayesgmm.data.on_disk.source import Part, Source, reason, refuse_text
from bayesgmm.data.paths import short
from bayesgmm.errors import DataError


class Dataset(Source):
    """Rows of a ``pyarrow.dataset.Dataset``, fragment by fragment."""

    def __init__(self, dataset: Any, wanted: list[str] | None, name: str = "the data set"):
        """Read the schema, and count the rows."""
        names = columns_of(dataset.schema, wanted, name)
        if "" in names:
            raise DataError(
                f"{name} has a column without a name, as pandas writes its index to CSV: a number for each row. Choose "
                "the features by columns=[…], or write the file with to_csv(index=False)."
            )
        numeric = [one for one in dataset.schema.names if is_number(dataset.schema.field(one).type)]
        refuse_text({one: str(dataset.schema.field(one).type) for one in names if one not in numeric}, numeric, name)
        self._dataset, self._called = dataset, name
        self._fragments = list(dataset.get_fragments())
        local = [Path(getattr(fragment, "path", "")) for fragment in self._fragments]
        files = local if local and all(path.is_file() for path in local) else []
        try:
            counts = [fragment.count_rows() for fragment in self._fragments]
        except Exception as error:  # the errors of pyarrow have no common base
            raise DataError(f"The rows of {name} could not be counted ({reason(error)}). Write it again.") from None
        super().__init__(files, tuple(names), True, counts)

    def parts(self, size: int) -> Iterator[Part]:
        """All rows in order, in parts of at most about `size` rows."""
        for number, fragment in enumerate(self._fragments):
            first = 0
            reader = fragment.to_batches(
                schema=self._dataset.schema, columns=list(self.features), batch_size=size, batch_readahead=1,
                fragment_readahead=1,
            )  # fmt: skip
            for batch in reader:
                if batch.num_rows:
                    yield Part([numbers_of(batch.column(name)) for name in self.features], number, first)
                first += batch.num_rows

    def place(self, file: int, row: int) -> str:
        """Where a row is, in words: in its file, or in its part of a data set that is no folder of files."""
        return super().place(file, row) if self.files else f"row {row:,} of part {file} of {self._called}"


def arrow_files(files: list[Path], wanted: list[str] | None) -> Dataset:
    """Rows of Arrow IPC files with the same columns."""
    from pyarrow import dataset

    schemas = []
    for path in files:
        try:
            schemas.append(dataset.dataset(path, format="ipc").schema)
        except Exception as error:  # the errors of pyarrow have no common base
            raise DataError(
                f"{short(path)} could not be read as an Arrow IPC file ({reason(error)}). It may be cut, or a stream "
                "of Arrow: write it with pyarrow.feather.write_feather."
            ) from None
        if set(schemas[-1].names) != set(schemas[0].names) and wanted is None:
            odd = sorted(set(schemas[-1].names) ^ set(schemas[0].names))
            raise DataError(
                f"{short(path)} has other columns than {short(files[0])}: {', '.join(odd)} in one of them only. Choose "
                "the columns that all files have by columns=[…]."
            )
        numeric = [name for name in schemas[-1].names if is_number(schemas[-1].field(name).type)]
        names = columns_of(schemas[-1], wanted, path)
        refuse_text({name: str(schemas[-1].field(name).type) for name in names if name not in numeric}, numeric, path)
    whole = dataset.dataset([str(path) for path in files], format="ipc", schema=schemas[0])
    return Dataset(whole, wanted, short(files[0]))
