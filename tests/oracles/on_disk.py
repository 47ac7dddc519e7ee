"""One data set in every form on disk that `open_rows` reads."""

from pathlib import Path

import numpy as np

N, CHUNK = 9000, 4096
"""Three blocks in memory, so that a chunk of one block makes three chunks on disk; the last one is padded."""


def two_clusters() -> np.ndarray:
    """Rows (N, 2) of two clusters, far from the origin."""
    rng = np.random.default_rng(11)
    first = rng.random(N) < 0.3
    return rng.normal(size=(N, 2)) * [1.0, 3.0] + np.where(first[:, None], [103.0, 0.0], [100.0, 9.0])


def write_parquet(x: np.ndarray, path: Path, row_group_size: int = 2500) -> Path:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"a": x[:, 0], "b": x[:, 1]}), path, row_group_size=row_group_size)
    return path


def write_folder(x: np.ndarray, path: Path) -> Path:
    path.mkdir()
    for i, part in enumerate(np.array_split(x, [1000, 7001])):
        write_parquet(part, path / f"part-{i}.parquet")
    (path / "_SUCCESS").write_text("")
    return path
