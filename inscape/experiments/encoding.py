"""Output where the terminal or the file has no Unicode (`PYTHONIOENCODING=ascii`, `LANG=C`, Windows' code pages)."""

from __future__ import annotations

import codecs
import unicodedata
from typing import TextIO

HANDLER = "inscape-plain"
"""Name of the handler of characters that an encoding does not have."""
SAMPLE = "…–×γ╭"
"""Characters of each kind that commands print."""
PLAIN = {
    "…": "...", "–": "-", "—": "-", "−": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "×": "x", "·": ".", "±": "+-",
    "→": "->", "←": "<-", "↑": "^", "↓": "v", "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "∞": "inf", "√": "sqrt ",
    "α": "alpha", "β": "beta", "γ": "gamma", "ε": "epsilon", "λ": "lambda", "π": "pi", "σ": "sigma", "τ": "tau",
    "θ": "theta", "Σ": "sum ", "∈": "in", "′": "'", "\u00a0": " ", "\u202f": " ",
}  # fmt: skip


def make_encodable(*streams: TextIO) -> None:
    """Has each stream write plain characters for those that its encoding does not have, instead of raising.

    A stream whose user chose what happens then (`PYTHONIOENCODING=ascii:replace`), or that is no file, stays as it is.
    """
    codecs.register_error(HANDLER, _plain)
    for stream in streams:
        try:
            SAMPLE.encode(stream.encoding or "utf-8")
        except (UnicodeEncodeError, LookupError):
            if hasattr(stream, "reconfigure") and stream.errors in ("strict", "backslashreplace", "surrogateescape"):
                stream.reconfigure(errors=HANDLER)


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_character(one) for one in error.object[error.start : error.end]), error.end


def _character(one: str) -> str:
    if one in PLAIN:
        return PLAIN[one]
    if "\u2500" <= one <= "\u257f":  # lines of boxes
        return "|" if one in "│┃║╎╏┆┇┊┋" else "-" if one in "─━═╌╍┄┅┈┉╴╶╸╺╼╾" else "+"
    letters = unicodedata.normalize("NFKD", one).encode("ascii", "ignore").decode()
    return letters or "?"
