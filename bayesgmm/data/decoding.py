"""The characters of a text file."""

from bayesgmm.data.comments import without_comments
from bayesgmm.data.layout import SEPARATORS
from bayesgmm.data.read_call import Source
from bayesgmm.errors import DataError

_BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe\0\0": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
FEW_LINES = 8
"""Most lines with zero bytes that are advised to be left out."""


def decode(source: Source) -> tuple[str, list[str]]:
    """The text with plain line ends and without comments, and a note if it is not in UTF-8.

    Raises
    ------
    DataError
        If it is damaged, holds zero bytes, or is empty.
    """
    raw, name = source.raw, source.name
    codecs = [codec for bom, codec in _BOMS.items() if raw.startswith(bom)][:1] or _without_mark(raw)
    for codec in codecs:
        try:
            text = raw.decode(codec)
            break
        except UnicodeError:
            continue
    else:
        raise DataError(f"{name} starts as {codecs[0]}, but is damaged. Save it again as UTF-8.")
    if not codec.startswith("utf-8"):
        source.options["encoding"] = codec
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        raise _with_zeros(text, source)
    text = without_comments(text, source)
    if not text.strip():
        raise DataError(f"{name} is empty. Check that it was written completely.")
    note = "not UTF-8, read as latin-1" if codec in ("cp1252", "latin-1") else f"encoding {codec}"
    return text, [] if codec.startswith("utf-8") else [note]


def _without_mark(raw: bytes) -> list[str]:
    """Encodings of a text without a byte order mark. UTF-16 has every other byte zero if it is mostly ASCII."""
    even, odd = raw[::2].count(0), raw[1::2].count(0)
    if len(raw) % 2 == 0 and max(even, odd) > len(raw) // 4 and min(even, odd) == 0:
        return ["utf-16-le" if odd else "utf-16-be"]
    return ["utf-8", "cp1252", "latin-1"]


def _with_zeros(text: str, source: Source) -> DataError:
    lines = text.split("\n")
    numbers = [number for number, line in enumerate(lines) if "\0" in line]
    head = f"{source.name}, line {numbers[0] + 1}: a zero byte, so it is damaged or not text."
    if len(numbers) <= FEW_LINES and numbers[0] > 0:
        calls = (source.call(sep=separator, skiprows=numbers) for separator in SEPARATORS)
        if call := next(filter(None, calls), None):
            return DataError(f"{head} Write the file again; {call} leaves the damaged lines out.")
    return DataError(f"{head} Write the file again, or give a CSV or Parquet file.")
