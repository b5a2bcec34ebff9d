"""Which code may run: names that a user typed, or that this user's own signed files hold; other stored names only on
request.

A run, an episodes file or a data set can name a file or a module as its world or agent, and making that world or agent
runs it. So what is read from disk is only obeyed if it carries this user's signature (HMAC-SHA256 with a secret in
their configuration folder), if the name was typed in this process, or inside `trusting()`, which `--trust` on the
command line opens. Trust is never stored. The same rule protects Jupyter notebooks
(https://jupyter-server.readthedocs.io, "Security in notebook documents").
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from inscape.errors import UsageError

_OWN = re.compile(r"inscape(\.(envs\.worlds|agents)(\.\w+)+)?:[\w/-]+")
_REFERENCE = re.compile(r"[^\s:]+(:[^\s:]+)+")
_AGENT_PREFIXES = ("sb3:", "independent:")
_TRUSTING: ContextVar[bool] = ContextVar("trusting", default=False)
_allowed: set[str] = set()


@contextmanager
def trusting(trusted: bool = True) -> Iterator[None]:
    """Within the block, code that stored files name is run as if it had been typed.

    Args:
        trusted: False changes nothing.
    """
    token = _TRUSTING.set(trusted or _TRUSTING.get())
    try:
        yield
    finally:
        _TRUSTING.reset(token)


def is_trusting() -> bool:
    """Returns whether `trusting()` is in force."""
    return _TRUSTING.get()


# --- names of code ---------------------------------------------------------------------------------------------------


def names_code(name: str) -> bool:
    """Returns whether making what a string names runs a file or imports a module that is not Inscape's.

    So do `file.py:Class`, `package.module:Class`, `package.module:Id-v0` and `pettingzoo:package.module`.
    """
    return ".py:" in name or (_OWN.fullmatch(name) is None and _REFERENCE.fullmatch(name) is not None)


def _names_code_as_a_name(name: str) -> bool:
    """Returns whether the name of a world or an agent stands for code. Here, where no other text can stand, whatever
    has a colon does, so that nothing hangs on which odd spellings a loader would still find a file for."""
    return ".py:" in name or (":" in name and _OWN.fullmatch(name) is None)


def code_names(document: Any) -> list[str]:
    """Returns the strings in a JSON value that name code, in order, each once; keys of objects too."""
    found: dict[str, None] = {}
    waiting = [document]
    while waiting:  # no recursion: the value may be nested as deeply as a file likes
        value = waiting.pop()
        if isinstance(value, str):
            if names_code(value):
                found[value] = None
        elif isinstance(value, Mapping):
            waiting += [*value.values(), *value.keys()][::-1]
        elif isinstance(value, list | tuple):
            waiting += value[::-1]
    return list(found)


def task_code_names(task: Mapping[str, Any]) -> list[str]:
    """Returns the names of code in a stored task, as `Task.to_json` gives it."""
    name, rest = task.get("name"), {key: value for key, value in task.items() if key != "name"}
    while isinstance(name, str) and name.startswith(("pixels:", "text:")):
        name = name.partition(":")[2]
    named = [name] if isinstance(name, str) and _names_code_as_a_name(name) else []
    return list(dict.fromkeys([*named, *code_names(rest)]))


def agent_code_names(agent: str, settings: Mapping[str, Any]) -> list[str]:
    """Returns the names of code in a stored agent and its settings."""
    bare = agent
    while bare.startswith(_AGENT_PREFIXES):
        bare = bare.partition(":")[2]
    named = [agent] if _names_code_as_a_name(bare) else []
    data = settings.get("data")
    if isinstance(data, str) and data.startswith("minari:"):  # a data set, which is read and not imported
        settings = {name: value for name, value in settings.items() if name != "data"}
    return list(dict.fromkeys([*named, *code_names(settings)]))


def allow(names: Iterable[str]) -> None:
    """Lets code of these names run in this process: a user typed them, or signed the file that has them."""
    _allowed.update(names)


def is_allowed(names: Iterable[str]) -> bool:
    """Returns whether code of all these names may run now."""
    return is_trusting() or all(name in _allowed for name in names)


def require_trust(names: Iterable[str], source: str | Path) -> None:
    """Raises `UsageError` if a stored name of code was not typed, signed or declared trusted.

    Args:
        names: from `task_code_names` or `agent_code_names`.
        source: the file they were read from, for the message.
    """
    refused = [name for name in names if not is_allowed([name])]
    if refused:
        raise UsageError(
            f"{source} names code to run, {refused[0]!r}, and is not signed by you",
            expected="a file that you made with this configuration folder, or one whose maker you trust",
            hint="--trust, after reading that code",
        )


# --- where code lies -------------------------------------------------------------------------------------------------


def code_file(name: str) -> Path | None:
    """Returns the absolute path of the file that a name of code stands for; None for a module not imported yet."""
    source, _, attribute = name.rpartition(":")
    if source.endswith(".py"):
        return Path(source).expanduser().resolve()
    module = sys.modules.get(attribute if source == "pettingzoo" else source)
    file = getattr(module, "__file__", None)
    return None if file is None else Path(file).resolve()


def code_record(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Returns, for each name of code, the absolute `path` of its file and its `sha256`.

    It is stored beside the names, so that the file is found from another folder and an edit is noticed. Modules that
    lie beside a file and were imported are listed too, under their paths.
    """
    record = {}
    for name in names:
        file = code_file(name)
        if file is not None and file.is_file():
            record[name] = {"path": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
            if name.rpartition(":")[0].endswith(".py"):
                for helper in _modules_beside(file):
                    record |= file_record(str(helper))
    return record


def _modules_beside(file: Path) -> list[Path]:
    """Returns the files beside `file` that are imported as modules of their own: what it may have taken from them
    belongs to its code."""
    loaded = [(name, getattr(module, "__file__", None)) for name, module in list(sys.modules.items())]
    names = [Path(path) for name, path in loaded if path and "." not in name and name != "__main__"]
    return sorted({path for path in names if path.parent == file.parent and path != file})


def file_record(name: str) -> dict[str, dict[str, str]]:
    """Returns the `path` and `sha256` of a file, under its name as given; nothing where there is no such file."""
    file = Path(name).expanduser().resolve()
    if not file.is_file():
        return {}
    return {name: {"path": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}}


def located(document: Any, record: Mapping[str, Any]) -> Any:
    """Returns a stored JSON value with the names of code in files made absolute where, from the present folder, they
    would mean another file than when `record` was made."""
    places: dict[str, str] = {}
    for name, entry in record.items():
        path, source = entry.get("path") if isinstance(entry, Mapping) else None, name.rpartition(":")[0]
        if isinstance(path, str) and source.endswith(".py") and str(code_file(name)) != path:
            places[name] = f"{path}:{name.rpartition(':')[2]}"
    return _replaced(document, places) if places else document


def absolute_names(document: Any) -> Any:
    """Returns a JSON value with the files that its names of code stand for as absolute paths, to be compared."""
    names = [name for name in code_names(document) if ".py:" in name]
    places = {name: f"{code_file(name)}:{name.rpartition(':')[2]}" for name in names if not name.startswith("pixels:")}
    return _replaced(document, places) if places else document


def _replaced(value: Any, places: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        bare = value
        while bare.startswith("pixels:"):
            bare = bare.removeprefix("pixels:")
        return value.removesuffix(bare) + places[bare] if bare in places else value
    if isinstance(value, Mapping):
        return {_replaced(key, places): _replaced(item, places) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, places) for item in value]
    return value


# --- signatures ------------------------------------------------------------------------------------------------------


def sign(kind: str, data: bytes) -> str:
    """Returns the signature of what this user wrote; "" where they have no configuration folder that can be written.

    Args:
        kind: what it is ("run", "episodes"): a signature of one kind does not hold for another.
        data: what is signed.
    """
    secret = _secret(make=True)
    return "" if secret is None else _mac(secret, kind, data)


def is_signed(kind: str, data: bytes, signature: object) -> bool:
    """Returns whether `sign` of this user made the signature of `data`."""
    secret = _secret(make=False)
    if secret is None or not isinstance(signature, str) or not signature.isascii():
        return False
    return hmac.compare_digest(_mac(secret, kind, data), signature)


def secret_path() -> Path:
    """Returns where the user's secret lies: `$XDG_CONFIG_HOME/inscape/secret`, by default under `~/.config`."""
    root = os.environ.get("XDG_CONFIG_HOME")
    return (Path(root) if root and Path(root).is_absolute() else Path.home() / ".config") / "inscape" / "secret"


def _mac(secret: bytes, kind: str, data: bytes) -> str:
    return hmac.new(secret, f"inscape {kind}\n".encode() + data, hashlib.sha256).hexdigest()


def _secret(make: bool) -> bytes | None:
    """Returns the user's secret, made on first use, readable by them alone; None if it cannot be had."""
    try:
        path = secret_path()
        if make and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary = path.with_name(f".{path.name}.writing-{secrets.token_hex(8)}")
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secrets.token_bytes(32))
            try:
                os.link(temporary, path)  # whole or not at all, and never over another process's
            except FileExistsError:
                pass
            finally:
                temporary.unlink()
        secret = path.read_bytes()
    except (OSError, RuntimeError):  # no home, or one that cannot be written: nothing is signed
        return None
    return secret if len(secret) >= 32 else None
