"""A system of equations written out as the source of a World."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from inscape.world_models.learned.equations.finding import Equation, System
from inscape.world_models.learned.equations.readings import Variable
from inscape.world_models.learned.equations.terms import Term
from inscape.world_models.learned.program.grid_source import identifiers

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Form:
    """What the text is to fit.

    Attributes:
        observation_space, action_space: of the task that was learned from.
        actions: names of discrete actions.
        horizon: time limit, None without one.
        gamma: discount of the world.
    """

    observation_space: spaces.Box
    action_space: spaces.Space[Any]
    actions: tuple[str, ...]
    horizon: int | None
    gamma: float


def write(system: System, variables: Sequence[Variable], starts: Array, form: Form) -> str:
    """Returns the system as Python: a module with the class `Recovered`.

    Args:
        system: what was found.
        variables: of the state.
        starts: `[E, V]` where episodes began: new ones begin uniformly between their extremes.
        form: see there.
    """
    return _Writer(system, variables, starts, form).text()


def equation_text(equation: Equation, names: Sequence[str], codes: Sequence[str]) -> str:
    """Returns an equation for people: `d_theta_dot = 0.15*u + 0.75*sin_theta`."""
    top = _sum(equation.terms, equation.coefficients, names, codes, 6)
    if equation.implicit:
        below = _sum(equation.implicit, -equation.implicit_coefficients, names, codes, 6)
        top = f"({top}) / (1 {'' if below.startswith('-') else '+ '}{below.replace('-', '- ', 1)})"
    kept = "" if np.isinf([equation.low, equation.high]).all() else f", kept in [{equation.low:g}, {equation.high:g}]"
    return f"d_{names[equation.variable]} = {top}{kept}"


def _sum(terms: Sequence[Term], values: Array, names: Sequence[str], codes: Sequence[str], digits: int = 10) -> str:
    parts = []
    for term, value in zip(terms, values.tolist(), strict=True):
        product = term.text(names, codes)
        parts.append(f"{float(f'{value:.{digits}g}')!r}" + (f" * {product}" if product else ""))
    return " + ".join(parts).replace("+ -", "- ") or "0.0"


class _Writer:
    def __init__(self, system: System, variables: Sequence[Variable], starts: Array, form: Form) -> None:
        self.system, self.variables, self.starts, self.form = system, variables, starts, form
        self.names = identifiers([v.name for v in variables])
        space = form.action_space
        self.count = int(space.n) if isinstance(space, spaces.Discrete) else 0
        width = 1 if self.count == 2 else self.count if self.count else int(np.prod(space.shape or (1,)))
        self.codes = ("u",) if width == 1 else tuple(f"u{k}" for k in range(width))

    def text(self) -> str:
        state = "\n".join(f"    {name}: float" for name in self.names)
        blocks = [
            '"""A law recovered from episodes: equations of motion."""',
            "from __future__ import annotations",
            "import math\nfrom typing import Any, NamedTuple",
            "import gymnasium as gym\nimport numpy as np",
            "from inscape.envs import NoParams, NoPurpose, World",
            f"\nclass RecoveredState(NamedTuple):\n{state}",
            self._class(),
        ]
        return "\n\n".join(blocks) + "\n"

    def _class(self) -> str:
        lines = [
            "",
            "class Recovered(World):",
            '    """Equations, in the changes of one step:',
            "",
            *(f"        {equation_text(e, self.names, self.codes)}" for e in self.system.equations),
            '    """',
            "",
            "    State = RecoveredState",
        ]
        if self.count:
            lines.append(f"    actions = {self.form.actions!r}")
        else:
            box = self.form.action_space
            lines.append(f"    action_low = {tuple(float(v) for v in np.ravel(box.low))!r}")  # type: ignore[attr-defined]
            lines.append(f"    action_high = {tuple(float(v) for v in np.ravel(box.high))!r}")  # type: ignore[attr-defined]
        lines += [
            f"    initial_noise = {len(self.names)}",
            f"    max_episode_steps = {self.form.horizon!r}",
            f"    gamma = {self.form.gamma!r}",
            *self._initial(),
            *self._transition(),
            *self._reward(),
            *self._terminal(),
            *self._observation(),
        ]
        return "\n".join(lines)

    def _method(self, name: str, arguments: str, result: str, body: Sequence[str]) -> list[str]:
        return [
            "",
            "    @staticmethod",
            f"    def {name}({arguments}) -> {result}:",
            *(f"        {one}" for one in body),
        ]

    def _initial(self) -> list[str]:
        low, high = self.starts.min(axis=0).tolist(), self.starts.max(axis=0).tolist()
        parts = [f"{a!r} + {b - a!r} * noise[{k}]" for k, (a, b) in enumerate(zip(low, high, strict=True))]
        noise = f"tuple[{', '.join(['float'] * len(parts))}]"
        return self._method(
            "initial",
            f"params: NoParams, noise: {noise}",
            "RecoveredState",
            [f"return RecoveredState({', '.join(parts)})"],
        )

    @property
    def _action(self) -> str:
        return "action: int" if self.count else f"action: tuple[{', '.join(['float'] * len(self.codes))}]"

    def _given(self, terms: Sequence[Term]) -> list[str]:
        """Returns the lines that name what terms read."""
        lines = [f"{', '.join(self.names)}{',' if len(self.names) == 1 else ''} = state"]
        if any(term.codes for term in terms):
            lines += self._code_lines()
        waves = {(letter, term.frequency, term.angle) for term in terms for letter in term.trig}
        for letter, frequency, angle in sorted(waves):
            wave, name = {"s": "sin", "c": "cos"}[letter], self.names[angle]
            times = "" if frequency == 1 else str(frequency)
            inside = name if frequency == 1 else f"{frequency} * {name}"
            lines.append(f"{wave}{times}_{name} = math.{wave}({inside})")
        return lines

    def _code_lines(self) -> list[str]:
        if not self.count:
            return [f"{name} = action[{k}]" for k, name in enumerate(self.codes)]
        top = max(self.count - 1, 1)
        lines = [f"{self.codes[0]} = (2.0 * action - {self.count - 1}) / {top}"]
        return lines + [f"{self.codes[k]} = 1.0 if action == {k} else 0.0" for k in range(1, len(self.codes))]

    def _transition(self) -> list[str]:
        every = [term for e in self.system.equations for term in (*e.terms, *e.implicit)]
        lines = self._given(every)
        for equation in self.system.equations:
            name = self.names[equation.variable]
            top = _sum(equation.terms, equation.coefficients, self.names, self.codes)
            if equation.implicit:
                below = _sum(equation.implicit, -equation.implicit_coefficients, self.names, self.codes)
                top = f"({top}) / (1.0 + {below})"
            lines += [f"d_{name} = {top}", f"next_{name} = {name} + d_{name}"]
            for sign, bound in (("<", equation.low), (">", equation.high)):
                if np.isfinite(bound):
                    lines.append(f"next_{name} = {bound!r} if next_{name} {sign} {bound!r} else next_{name}")
            if np.isfinite([equation.low, equation.high]).any():
                lines.append(f"d_{name} = next_{name} - {name}")
        lines.append(f"return 1.0, RecoveredState({', '.join(f'next_{name}' for name in self.names)})")
        arguments = f"params: NoParams, state: RecoveredState, {self._action}, branch: int"
        return self._method("transition", arguments, "tuple[float, RecoveredState]", lines)

    def _reward(self) -> list[str]:
        terms = self.system.reward_terms
        lines = self._given(terms)
        angles = [k for k, v in enumerate(self.variables) if v.is_angle]
        lines += [f"{self.names[k]} = math.atan2(math.sin({self.names[k]}), math.cos({self.names[k]}))" for k in angles]
        followed = sorted({k for term in terms for k in term.following})
        lines += [f"next_{self.names[k]} = next_state.{self.names[k]}" for k in followed]
        total = _sum(terms, self.system.reward_coefficients, self.names, self.codes)
        if self.system.reward_at_end:
            lines.append(f"ended = {self._outside('next_state')}")
            total = f"{total} + ({self.system.reward_at_end!r} if ended else 0.0)"
        lines.append(f"return {total}")
        arguments = (
            f"params: NoParams, purpose: NoPurpose, state: RecoveredState, {self._action}, next_state: RecoveredState"
        )
        return self._method("reward", arguments, "float", lines)

    def _outside(self, state: str) -> str:
        parts = []
        for k, low, high in self.system.ends:
            parts += [f"{state}.{self.names[k]} < {low!r}"] if np.isfinite(low) else []
            parts += [f"{state}.{self.names[k]} > {high!r}"] if np.isfinite(high) else []
        return " or ".join(parts) or "False"

    def _terminal(self) -> list[str]:
        if not self.system.ends:
            return []
        arguments = "params: NoParams, purpose: NoPurpose, state: RecoveredState"
        return self._method("terminal", arguments, "bool", [f"return {self._outside('state')}"])

    def _observation(self) -> list[str]:
        seen: dict[int, str] = {}
        back: list[str] = []
        for name, variable in zip(self.names, self.variables, strict=True):
            if variable.is_angle:
                cosine, sine = variable.sources
                seen[cosine], seen[sine] = f"math.cos(state.{name})", f"math.sin(state.{name})"
                back.append(f"math.atan2(observation[{sine}], observation[{cosine}])")
            else:
                seen[variable.sources[0]] = f"state.{name}"
                back.append(f"float(observation[{variable.sources[0]}])")
        parts = [seen[k] for k in range(len(seen))]
        floats = f"tuple[{', '.join(['float'] * len(parts))}]"
        comma = "," if len(parts) == 1 else ""
        box = self.form.observation_space
        low, high = (
            "[" + ", ".join(repr(float(v)) if np.isfinite(v) else f"{'-' if v < 0 else ''}np.inf" for v in row) + "]"
            for row in (np.ravel(box.low), np.ravel(box.high))
        )
        kind = np.dtype(box.dtype).name
        shown = f"return ({', '.join(parts)}{comma})"
        made = f"return gym.spaces.Box(np.array({low}, np.{kind}), np.array({high}, np.{kind}), dtype=np.{kind})"
        given = f"params: NoParams, observation: {floats}"
        return [
            *self._method("observation", "params: NoParams, state: RecoveredState", floats, [shown]),
            *self._method("observations", "params: NoParams", "gym.Space[Any]", [made]),
            *self._method("state_of", given, "RecoveredState", [f"return RecoveredState({', '.join(back)})"]),
        ]
