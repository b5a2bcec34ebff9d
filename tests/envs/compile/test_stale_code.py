"""Which edits make machine code stale: source files between two processes, and anything at all in a running one."""

from __future__ import annotations

import enum
import functools
import importlib
import sys
import types
from typing import NamedTuple

import numba
import numpy as np
import pytest

from inscape.envs.compile import cpu as compiler
from inscape.envs.law import tools as lawtools
from inscape.envs.law.digest import Reached, code_digest, module_code_digest
from inscape.envs.readers import enumeration
from inscape.envs.world import World
from inscape.errors import UsageError

pytestmark = pytest.mark.compiled


def loaded(source: str, name: str = "stale_example", **names: object) -> types.ModuleType:
    """Returns `source` run as a module, under a name that a later one may take."""
    module = types.ModuleType(name)
    vars(module).update(names)
    exec(compile(source, f"{name}.py", "exec"), vars(module))
    return module


def digest_of(source: str, **names: object) -> str:
    return Reached([loaded(source, **names).law]).digest


HEAD = "import enum, functools, numba, numpy as np\nfrom typing import NamedTuple\n"
LAW = "\ndef law(x):\n    return {}\n"
# what stands before the law, the law's expression, and an edit that must be seen
EDITS = {
    "constant": ("K = 1", "x + K", "K = 2"),
    "constant of another type": ("K = 1", "x + K", "K = 1.0"),
    "zero's sign": ("K = 0.0", "x + K", "K = -0.0"),
    "NumPy scalar's type": ("K = np.float32(1)", "x + K", "K = np.float64(1)"),
    "helper": ("def f(x): return x + 1", "f(x)", "def f(x): return x - 1"),
    "compiled helper": (
        "@numba.njit\ndef f(x): return x + 1",
        "f(x)",
        "@numba.njit\ndef f(x): return x - 1",
    ),
    "options of a compiled helper": (
        "@numba.njit\ndef f(x): return x + 1",
        "f(x)",
        "@numba.njit(fastmath=True)\ndef f(x): return x + 1",
    ),
    "helper of a helper": (
        "def g(x): return x\ndef f(x): return g(x)",
        "f(x)",
        "def g(x): return -x\ndef f(x): return g(x)",
    ),
    "helper in a lambda": ("f = lambda x: x + 1", "[f(y) for y in x]", "f = lambda x: x + 2"),
    "argument names": ("def f(a, b): return a - b", "f(a=x, b=1)", "def f(b, a): return b - a"),
    "default": ("def f(x, k=1): return x + k", "f(x)", "def f(x, k=2): return x + k"),
    "keyword default": ("def f(x, *, k=1): return x + k", "f(x)", "def f(x, *, k=2): return x + k"),
    "closure": (
        "def make(k):\n    return lambda x: x + k\nf = make(1)",
        "f(x)",
        "def make(k):\n    return lambda x: x + k\nf = make(2)",
    ),
    "decorated": (
        "def d(f):\n    @functools.wraps(f)\n    def g(x): return f(x)\n    return g\n@d\ndef h(x): return x",
        "h(x)",
        "def d(f):\n    @functools.wraps(f)\n    def g(x): return f(x)\n    return g\n@d\ndef h(x): return -x",
    ),
    "kept results": (
        "@functools.cache\ndef f(x): return x",
        "f(x)",
        "@functools.cache\ndef f(x): return -x",
    ),
    "partial": (
        "f = functools.partial(pow, 2)",
        "f(x)",
        "f = functools.partial(pow, 3)",
    ),
    "array": ("T = np.arange(5000.0)", "T[2500]", "T = np.arange(5000.0); T[2500] = 7"),
    "array's type": ("T = np.zeros(3)", "T[0]", "T = np.zeros(3, np.float32)"),
    "array's order": ("T = np.ones((2, 3))", "T[0, x]", "T = np.ones((3, 2)).T"),
    "array in a tuple": (
        "t = np.arange(5000.0); T = (t, t)",
        "T[0][2500]",
        "t = np.arange(5000.0); t[2500] += 1e-12; T = (t, t)",
    ),
    "array in a dictionary": ("T = {'a': np.zeros(3)}", "T['a'][0]", "T = {'a': np.ones(3)}"),
    "named tuple of arrays": (
        "class R(NamedTuple):\n    t: object\nT = R(np.zeros(3))",
        "T.t[0]",
        "class R(NamedTuple):\n    t: object\nT = R(np.ones(3))",
    ),
    "fields of a named tuple": (
        "class R(NamedTuple):\n    a: int\n    b: int",
        "R(x, 1)",
        "class R(NamedTuple):\n    b: int\n    a: int",
    ),
    "default of a field": (
        "class R(NamedTuple):\n    a: int\n    b: int = 1",
        "R(x)",
        "class R(NamedTuple):\n    a: int\n    b: int = 2",
    ),
    "enumeration": (
        "class E(enum.IntEnum):\n    A = 1",
        "E.A + x",
        "class E(enum.IntEnum):\n    A = 2",
    ),
    "attribute of a class": ("class C:\n    K = 1", "C.K + x", "class C:\n    K = 2"),
    "attribute of a base class": (
        "class B:\n    K = 1\nclass C(B): pass",
        "C.K + x",
        "class B:\n    K = 2\nclass C(B): pass",
    ),
    "method of a class": (
        "class C:\n    @staticmethod\n    def f(x): return x",
        "C.f(x)",
        "class C:\n    @staticmethod\n    def f(x): return -x",
    ),
    "attribute of an instance": (
        "class C: pass\nc = C(); c.k = 1",
        "c.k + x",
        "class C: pass\nc = C(); c.k = 2",
    ),
    "set": ("S = frozenset({1, 2})", "x in S", "S = frozenset({1, 3})"),
    "the law itself": ("", "x + 1", None),
}


@pytest.mark.parametrize("case", EDITS)
def test_an_edit_of_the_source_changes_the_digest(case):
    before, expression, after = EDITS[case]
    first = HEAD + before + LAW.format(expression)
    second = HEAD + (before if after is None else after) + LAW.format("x - 1" if after is None else expression)
    assert digest_of(first) == digest_of(first)
    assert digest_of(first) != digest_of(second)


# what another module has, and how the law reaches it
MODULES = {
    "array of a module": ("import numpy as np\nTABLE = np.array([1.0, 5.0])", "a.TABLE[0]", "1.0", "2.0"),
    "compiled function of a module": ("import numba\n@numba.njit\ndef f(x): return x + 1.0", "a.f(x)", "1.0", "2.0"),
    "enumeration of a module": ("import enum\nclass E(enum.Enum):\n    A = 1.0", "a.E.A.value", "1.0", "2.0"),
    "class of a module": ("class C:\n    class D:\n        K = 1.0", "a.C.D.K", "1.0", "2.0"),
    "dictionary of a module": ("D = {'k': (1.0, 5)}", "a.D['k'][0]", "1.0", "2.0"),
}


@pytest.mark.parametrize("case", MODULES)
@pytest.mark.parametrize("way", ["a", "pkg.a", "alias"])
def test_what_is_reached_through_modules_is_seen(case, way):
    text, expression, old, new = MODULES[case]

    def law_over(source: str) -> str:
        module = loaded(source, "stale_module")
        package = types.ModuleType("stale_package")
        package.a = module
        if way == "alias":  # the module under another name first
            return digest_of(f"def law(x):\n    m = a\n    return {expression.replace('a.', 'm.', 1)}\n", a=module)
        return digest_of(LAW.format(expression.replace("a.", f"{way}.", 1)), a=module, pkg=package)

    assert law_over(text) == law_over(text)
    assert law_over(text) != law_over(text.replace(old, new))


SOURCE = HEAD + "K = 3\ndef f(x):\n    return x * K\n" + LAW.format("f(x) + 1")


@pytest.mark.parametrize(
    "edited",
    [
        SOURCE.replace("K = 3", "# a comment\n\nK = 3  # another"),
        SOURCE.replace("def f(x):", 'def f(x):\n    """A docstring."""'),
        SOURCE.replace("    return x * K", "\n\n    # how much\n    return (x *\n            K)"),
        '"""The module."""\n' + SOURCE,
        SOURCE.replace("K = 3", "unused = 5\nK = 3"),
        SOURCE.replace("def f(x):", "def g(x):\n    return f(x) + 7\n\n\ndef f(x):"),
    ],
)
def test_comments_docstrings_lines_and_what_is_not_reached_change_nothing(edited):
    assert digest_of(edited) == digest_of(SOURCE)


def test_the_code_of_a_module_is_told_from_its_comments():
    source = 'class C:\n    """Doc."""\n    def m(self):\n        return 1\n'
    compiled = [compile(text, "x", "exec") for text in (source, "# c\n\n" + source, source.replace('"""Doc."""', ""))]
    assert len({code_digest(code) for code in compiled[:2]}) == 1
    assert code_digest(compile(source.replace("1", "2"), "x", "exec")) != code_digest(compiled[0])
    modules = [loaded(text) for text in (source, source.replace('    """Doc."""\n', ""), source.replace("1", "2"))]
    for module in modules:
        module.C.__module__ = module.__name__
    first, same, other = map(module_code_digest, modules)
    assert first == same != other
    assert module_code_digest(lawtools) == module_code_digest(lawtools)


# ---------------------------------------------------------------------------------------------- a running notebook


NOTEBOOK = (
    HEAD
    + """
K = 1
ARRAY = np.zeros(5)
PAIR = (np.zeros(5), 1)
LIST = [1, 2]
TABLE = {"a": 1}
NESTED = {"a": [np.zeros(2)]}
class E(enum.IntEnum):
    A = 1
class C:
    K = 1
    @staticmethod
    def f(x): return x
def helper(x, k=1, *, j=1): return x + k + j
def make():
    k = 1
    def inner(x): return x + k
    def assign(value):
        nonlocal k
        k = value
    return inner, assign
inner, assign = make()
@numba.njit
def compiled(x): return x
def law(x):
    return (K, ARRAY, PAIR, LIST, TABLE, NESTED, E.A, C.K, C.f(x), helper(x), inner(x), compiled(x), later, sub.a.K)
"""
)


def cell(source: str):
    """Returns an action: a cell of the notebook run again with this text."""
    return lambda scope: exec(source, scope)


CELLS = {
    "constant": cell("K = 2"),
    "constant deleted": cell("del K"),
    "name defined only now": cell("later = 3"),
    "helper": cell("def helper(x, k=1, *, j=1): return x - k - j"),
    "code of a helper": cell("helper.__code__ = (lambda x, k=1, *, j=1: x).__code__"),
    "default": cell("helper.__defaults__ = (2,)"),
    "keyword default": cell("helper.__kwdefaults__['j'] = 2"),
    "closure": cell("assign(2)"),
    "compiled helper": cell("@numba.njit\ndef compiled(x): return -x"),
    "array": cell("ARRAY = np.ones(5)"),
    "array in place": cell("ARRAY[3] = 1e-300"),
    "array in a tuple, in place": cell("PAIR[0][0] = 1"),
    "array deep in a dictionary, in place": cell("NESTED['a'][0][1] = 1"),
    "list in place": cell("LIST.append(3)"),
    "entry of a list": cell("LIST[0] = 5"),
    "entry of a dictionary": cell("TABLE['a'] = 2"),
    "enumeration": cell("class E(enum.IntEnum):\n    A = 2"),
    "class": cell("class C:\n    K = 2\n    f = C.f"),
    "attribute of a class": cell("C.K = 2"),
    "method of a class": cell("C.f = staticmethod(lambda x: -x)"),
    "attribute of a module in a package": cell("sub.a.K = 2"),
    "module in a package": cell("sub.a = types.SimpleNamespace(K=5)"),
}


@pytest.mark.parametrize("case", CELLS)
def test_a_cell_run_again_is_noticed(case):
    package = types.ModuleType("stale_package")
    package.a = loaded("K = 1", "stale_module")
    scope = vars(loaded(NOTEBOOK, sub=package, types=types))
    reached = Reached([scope["law"]])
    assert reached.is_current()
    CELLS[case](scope)
    assert not reached.is_current()
    after = Reached([scope["law"]])
    assert after.is_current()
    assert after.digest != reached.digest


def test_a_cell_run_again_unchanged_keeps_its_digest():
    package = types.ModuleType("stale_package")
    package.a = loaded("K = 1", "stale_module")
    scope = vars(loaded(NOTEBOOK, sub=package))
    reached = Reached([scope["law"]])
    exec("# run again\ndef helper(x, k=1, *, j=1):\n    '''Now with a docstring.'''\n    return x + k + j", scope)
    assert not reached.is_current()
    assert Reached([scope["law"]]).digest == reached.digest


def test_a_module_loaded_again_is_noticed(tmp_path, monkeypatch):
    path = tmp_path / "stale_reloaded.py"
    path.write_text("K = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module = importlib.import_module("stale_reloaded")
    reached = Reached([loaded(LAW.format("m.K"), m=module).law])
    path.write_text("K = 20\n")
    importlib.reload(module)
    assert not reached.is_current()
    del sys.modules["stale_reloaded"]


def test_wrapped_functions_of_every_kind_are_followed():
    def plain(x):
        return x

    def other(x):
        return -x

    def both(make):
        return Reached([make(plain)]).digest != Reached([make(other)]).digest

    assert both(functools.lru_cache)
    assert both(functools.partial)
    assert both(staticmethod)
    assert both(property)
    assert both(numba.njit)
    assert both(numba.vectorize)
    assert both(numba.cfunc("f8(f8)"))
    assert both(lambda f: types.MethodType(f, 1))


# ---------------------------------------------------------------------------------------------- worlds


STEP = 1


class Kind(enum.IntEnum):
    SLOW = 1


class Place(NamedTuple):
    x: int


def make_walk() -> type[World]:
    """Returns a world's class, made anew: tests replace what is on it."""

    class Walk(World):
        State = Place
        actions = ("left", "right")

        @staticmethod
        def initial(params, branch):
            return 1.0, Place(0)

        @staticmethod
        def transition(params, state, action, branch):
            return 1.0, Place(min(max(state.x + (STEP if action == 1 else -1), 0), 9))

        @staticmethod
        def reward(params, purpose, state, action, next_state):
            return float(Kind.SLOW)

    return Walk


def one_step(world: World) -> tuple[int, float]:
    """Returns where a step to the right leads, and its reward, by the kernels run as plain Python."""
    start = world.pack([Place(0)])
    states, rewards, _ = world.step(start, np.array([1]), np.random.default_rng(0), compiled=False)
    return int(states.ints[0, 0]), float(rewards[0])


def replaced_transition(params, state, action, branch):
    return 1.0, Place(7)


REDEFINED = {
    "law function": lambda walk, patch: patch.setattr(walk, "transition", staticmethod(replaced_transition)),
    "law function added": lambda walk, patch: patch.setattr(
        walk, "terminal", staticmethod(lambda params, purpose, state: state.x == 3)
    ),
    "constant": lambda walk, patch: patch.setitem(globals(), "STEP", 3),
    "enumeration": lambda walk, patch: patch.setitem(globals(), "Kind", enum.IntEnum("Kind", {"SLOW": 5})),
    "actions": lambda walk, patch: patch.setattr(walk, "actions", ("left", "right", "stay")),
    "branches": lambda walk, patch: patch.setattr(walk, "branches", 2),
}


@pytest.mark.parametrize("case", REDEFINED)
def test_the_law_of_a_class_is_looked_at_again(case, monkeypatch):
    walk = make_walk()
    world = walk()
    before, kernels = world.law_digest(), world.kernel("inscape.envs.kernels.batch", compiled=False)
    assert world.kernel("inscape.envs.kernels.batch", compiled=False) is kernels
    REDEFINED[case](walk, monkeypatch)
    assert walk().law_digest() != before
    assert walk().kernel("inscape.envs.kernels.batch", compiled=False) is not kernels


def test_kernels_follow_a_replaced_law_function(monkeypatch):
    walk = make_walk()
    assert one_step(walk()) == (1, 1.0)
    monkeypatch.setattr(walk, "transition", staticmethod(replaced_transition))
    assert one_step(walk()) == (7, 1.0)
    monkeypatch.setitem(globals(), "Kind", enum.IntEnum("Kind", {"SLOW": 5}))
    assert one_step(walk()) == (7, 5.0)


def test_the_enumeration_that_purposes_share_follows_the_law(monkeypatch):
    walk = make_walk()
    world = walk()
    made: list[World] = []
    monkeypatch.setattr(enumeration, "enumerate_dynamics", lambda world, max_states: made.append(world) or len(made))
    other = world.with_purpose(world.purpose)
    assert (world.dynamics(), other.dynamics(), world.dynamics()) == (1, 1, 1)
    monkeypatch.setitem(globals(), "STEP", 3)
    assert (other.dynamics(), world.dynamics()) == (2, 2)


def test_a_state_defined_again_alone_is_refused(monkeypatch):
    walk = make_walk()
    walk().law_digest()
    again = NamedTuple("Place", [("x", int)])  # noqa: UP014 - the name it had
    again.__module__ = Place.__module__
    monkeypatch.setitem(globals(), "Place", again)
    walk().law_digest()  # the same fields: as before
    wider = NamedTuple("Place", [("x", int), ("y", int)])  # noqa: UP014
    wider.__module__ = Place.__module__
    monkeypatch.setitem(globals(), "Place", wider)
    with pytest.raises(UsageError, match=r"Place was defined again with the fields \(x: int, y: int\)"):
        walk().law_digest()


def test_a_state_replaced_on_the_class_is_laid_out_anew():
    walk = make_walk()
    assert [field.name for field in walk.layouts()[0].fields] == ["x"]
    walk.State = NamedTuple("Wide", [("x", int), ("y", float)])
    assert [field.name for field in walk.layouts()[0].fields] == ["x", "y"]


def test_sizes_that_print_alike_make_classes_of_their_own():
    class Sized(make_walk()):
        @classmethod
        def sized(cls, **settings):
            table = np.zeros(5000)
            table[2500] = settings.get("at", 0)
            return {"table": table}

        def setup(self, at: int = 0):
            return self.Params(), self.Purpose()

    assert type(Sized(at=1)) is type(Sized(at=1)) is not type(Sized(at=2))


def test_looking_again_is_cheap():
    import time

    world = make_walk()()
    world.kernel("inscape.envs.kernels.batch", compiled=False)
    times = []
    for _ in range(50):
        start = time.perf_counter()
        world.kernel("inscape.envs.kernels.batch", compiled=False)
        times.append(time.perf_counter() - start)
    assert min(times) < 1e-3
    assert compiler.law_of(world.compiled_law) is compiler.law_of(world.compiled_law)
