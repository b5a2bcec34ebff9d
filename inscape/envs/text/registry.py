"""Text environments by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from inscape.envs.text.described import DescribedEnv
from inscape.envs.text.interface import TextEnv
from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task
    from inscape.envs.world import World


@dataclass(frozen=True)
class TextEnvSpec:
    """A text environment that can be made by name.

    Attributes:
        name: as users type it.
        home: `"package.module:Class"`, imported when asked for.
        summary: one line.
    """

    name: str
    home: str
    summary: str


_WORLDS = "inscape.envs.text.worlds"
_BUILT_IN = (
    TextEnvSpec("Arithmetic", f"{_WORLDS}.arithmetic:Arithmetic", "sums and products, pairs held out"),
    TextEnvSpec("Antiderivative", f"{_WORLDS}.antiderivative:Antiderivative", "integrals that SymPy checks"),
    TextEnvSpec("Facts", f"{_WORLDS}.facts:Facts", "what a chronicle tells, and what it does not"),
    TextEnvSpec("Permutations", f"{_WORLDS}.arithmetic:Permutations", "permutations composed"),
    TextEnvSpec("Spelling", f"{_WORLDS}.spelling:Spelling", "letters counted, words reversed"),
    TextEnvSpec("StatusReport", f"{_WORLDS}.status_report:StatusReport", "a flawed proxy reward beside the true one"),
    TextEnvSpec("TextRepair", f"{_WORLDS}.text_repair:TextRepair", "a damaged passage, repaired by edits"),
)
_SPECS: dict[str, TextEnvSpec] = {spec.name: spec for spec in _BUILT_IN}
_OTHERS = "inscape.envs.text.conventions"
PREFIXES: dict[str, str] = {
    "gem": f"{_OTHERS}.gem_env:GemEnv",
    "openenv": f"{_OTHERS}.openenv_client:OpenEnvClient",
    "reasoning-gym": f"{_OTHERS}.reasoning_gym_env:ReasoningGymEnv",
    "textarena": f"{_OTHERS}.textarena_env:TextArenaEnv",
}
"""`"prefix"` of names such as `prefix:ID` to the function `"package.module:function"` that makes one from the ID."""


def register_text_env(name: str, home: str, summary: str = "") -> None:
    """Makes a text environment known by name.

    Args:
        name: as users will type it.
        home: `"package.module:Class"`; the class takes the settings as keywords.
        summary: one line for lists.
    """
    if ":" not in home:
        raise UsageError(f"home = {home!r} of the text environment {name}", expected='"package.module:Class"')
    _SPECS[name] = TextEnvSpec(name, home, summary)


def text_env_specs() -> Mapping[str, TextEnvSpec]:
    """Returns the known text environments by name."""
    return dict(_SPECS)


def text_env(what: str | World | Task | TextEnv, **settings: Any) -> TextEnv:
    """Returns a text environment.

    Args:
        what: the name of one (`inscape list`), `PREFIX:ID` of another library's, or any world or Gymnasium environment
            with discrete actions: a name, a `World` or a `Task`, which is then described in words.
        settings: of the environment; for a described one `penalty`, `max_turns`, `list_actions`.

    Raises:
        UsageError: there is none of that name, or it does not take these settings.
    """
    if isinstance(what, TextEnv):
        return what
    if isinstance(what, str):
        prefix, _, rest = what.partition(":")
        if what in _SPECS:
            return _made(_home(_SPECS[what].home), settings, what)
        if rest and prefix in PREFIXES:
            maker = _home(PREFIXES[prefix])
            return _made(lambda **given: maker(rest, **given), settings, what)
    return _made(lambda **given: DescribedEnv(_task(what), **given), settings, str(what))


def text_env_class(name: str) -> Callable[..., TextEnv] | None:
    """Returns the class of a text environment known by name; None for another library's (`PREFIX:ID`)."""
    return _home(_SPECS[name].home) if name in _SPECS else None


def _task(what: str | World | Task) -> Task:
    from inscape.envs.tasks.resolve import resolve_task

    try:
        return resolve_task(what)
    except UsageError as error:
        near = get_close_matches(what, _SPECS, 1) if isinstance(what, str) else ()
        if near:
            raise UsageError(f"no text environment {what!r}", hint=f"did you mean {near[0]}?") from error
        raise


def _home(home: str) -> Callable[..., TextEnv]:
    module, _, name = home.partition(":")
    made: Callable[..., TextEnv] = getattr(importlib.import_module(module), name)
    return made


def _made(make: Callable[..., TextEnv], settings: Mapping[str, Any], name: str) -> TextEnv:
    try:
        return make(**settings)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise UsageError(f"{name}: {error}", expected="settings that it has") from error
