"""Laws that a model wrote as source, loaded as worlds."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from inscape.envs.compile.kernel_cache import cache_folder
from inscape.envs.loading import load_class


def load_recovered(text: str) -> Any:
    """Returns the class `Recovered` of a source: from a file in the cache, for a law is read from its file."""
    folder = cache_folder().parent / "programs"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"recovered_{hashlib.sha256(text.encode()).hexdigest()[:16]}.py"
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        part = file.with_suffix(f".{os.getpid()}.part")
        part.write_text(text, encoding="utf-8")
        part.replace(file)
    return load_class(f"{file}:Recovered", "a recovered world")
