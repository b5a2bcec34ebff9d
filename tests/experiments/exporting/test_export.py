"""Exported agents, loaded back by the libraries they are for, act as the agents do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from inscape import resolve_task
from inscape.errors import UsageError
from inscape.experiments import export, load_agent, train
from inscape.experiments.cli import main
from inscape.experiments.runs.run import Run

SMALL = {"num_envs": 4, "num_steps": 8, "epochs": 1, "hidden": (8,)}
OFF = {"learning_starts": 20, "hidden": (8,), "buffer_size": 100, "batch_size": 16, "backend": "torch"}
RUNS: dict[str, tuple[str, str, int, dict[str, Any]]] = {
    "ppo": ("ppo", "CartPole", 64, SMALL),
    "ppo, one-hot": ("ppo", "FrozenLake", 64, SMALL),
    "ppo, normalised": ("ppo", "Pendulum", 64, {**SMALL, "normalize_observations": True}),
    "ppo, continuous": ("ppo", "Pendulum", 64, {**SMALL, "normalize_observations": False}),
    "ppo, masked": ("ppo", "SkiResort", 64, {**SMALL, "backend": "torch"}),
    "a2c": ("a2c", "CartPole", 64, {"num_envs": 4, "num_steps": 8, "hidden": (8,), "backend": "torch"}),
    "reinforce": ("reinforce", "CartPole", 64, {"num_envs": 2, "hidden": (8,)}),
    "dqn": ("dqn", "CartPole", 64, OFF),
    "dqn, dueling": ("dqn", "FrozenLake", 64, {**OFF, "dueling": True}),
    "sac": ("sac", "Pendulum", 64, OFF),
    "q-learning": ("q-learning", "FrozenLake", 500, {}),
    "sarsa, several numbers": ("sarsa", "Taxi", 500, {}),
    "sb3:ppo": ("sb3:ppo", "CartPole", 64, {"num_envs": 2, "num_steps": 16, "batch_size": 16, "epochs": 1}),
    "sb3:dqn": ("sb3:dqn", "CartPole", 64, {"learning_starts": 20, "buffer_size": 100}),
    "sb3:sac": ("sb3:sac", "Pendulum", 64, {"learning_starts": 20, "buffer_size": 100}),
    "sb3:td3": ("sb3:td3", "Pendulum", 64, {"learning_starts": 20, "buffer_size": 100}),
}
SB3 = {"ppo": "PPO", "ppo, one-hot": "PPO", "ppo, continuous": "PPO", "a2c": "A2C", "dqn": "DQN", "sb3:ppo": "PPO"}
COUNT = 1000


def line(words: str) -> int:
    return main(words.split())


def trained(name: str, out: Path) -> Run:
    agent, world, steps, settings = RUNS[name]
    return train(
        agent, resolve_task(world), steps, out=out, settings=settings, progress=False, evaluate_every=0,
    )  # fmt: skip


def observations(task: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns 1,000 observations of episodes of a random agent, and what was legal in them."""
    rng = np.random.default_rng(0)
    seen, masks = [], []
    envs = task.vector_env(50)
    observation, infos = envs.reset(seed=0)
    while sum(map(len, seen)) < COUNT:
        mask = infos.get("action_mask")
        seen.append(np.array(observation))
        masks.append(None if mask is None else np.array(mask))
        if mask is None:
            actions: Any = np.stack([task.action_space.sample() for _ in range(50)])
        else:
            actions = (rng.random(mask.shape) * mask).argmax(axis=1)
        observation, *_, infos = envs.step(actions)
    envs.close()
    together = None if masks[0] is None else np.concatenate(masks)[:COUNT]  # type: ignore[arg-type]
    return np.concatenate(seen)[:COUNT], together


def greedy(agent: Any, task: Any, seen: np.ndarray, masks: np.ndarray | None) -> np.ndarray:
    """Returns the agent's most probable actions by its own code."""
    if isinstance(task.action_space, gymnasium.spaces.Discrete):
        scores = agent.q_values[agent.rows(seen)] if hasattr(agent, "q_values") else agent.action_log_probs(seen, masks)
        return np.asarray(scores.argmax(axis=1) + task.action_space.start)
    if hasattr(agent, "model"):
        return np.asarray(agent.model.predict(seen, deterministic=True)[0])
    if agent.name == "sac":
        object.__setattr__(agent.settings, "greedy", True)
        return np.asarray(agent.act(seen))
    return np.asarray(agent.policy.act(seen, None, True))


def require_same(found: Any, expected: np.ndarray) -> None:
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(np.asarray(found), expected, rtol=0, atol=2e-6)
    else:
        np.testing.assert_array_equal(np.asarray(found), expected)


@pytest.mark.quick("ppo, masked", "dqn, dueling", "sarsa, several numbers", "ppo, normalised")
@pytest.mark.parametrize("name", RUNS)
def test_exported_policies_act_as_the_agent_does(name: str, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    run = trained(name, tmp_path / "run")
    agent, task = load_agent(run)
    seen, masks = observations(task)
    assert len(seen) == COUNT
    expected = greedy(agent, task, seen, masks)
    exported = export(run, "torchscript", tmp_path / "a.pt")
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        scripted = torch.jit.load(str(exported))
    given = [torch.as_tensor(seen), *([] if masks is None else [torch.as_tensor(masks)])]
    with torch.inference_mode():
        require_same(scripted(*given)[0], expected)
    session = runtime.InferenceSession(str(export(run, "onnx", tmp_path / "a.onnx")))
    names = {"observation": seen, **({} if masks is None else {"action_mask": masks})}
    actions, scores = session.run(["action", "scores"], names)
    require_same(actions, expected)
    assert len(scores) == COUNT and session.run(["action"], {k: v[:1] for k, v in names.items()})[0].shape[0] == 1
    about = json.loads(session.get_modelmeta().custom_metadata_map["inscape"])
    assert about["agent"] == RUNS[name][0]


@pytest.mark.quick("ppo, continuous", "dqn")
@pytest.mark.parametrize("name", SB3)
def test_stable_baselines_reads_what_was_exported(name: str, tmp_path: Path) -> None:
    import stable_baselines3

    run = trained(name, tmp_path / "run")
    agent, task = load_agent(run)
    seen, _ = observations(task)
    model = getattr(stable_baselines3, SB3[name]).load(export(run, "sb3", tmp_path / "a.zip"))
    require_same(model.predict(seen, deterministic=True)[0], greedy(agent, task, seen, None))
    if SB3[name] != "DQN" and not name.startswith("sb3"):
        values = model.policy.predict_values(model.policy.obs_to_tensor(seen)[0])[:, 0].detach().numpy()
        np.testing.assert_allclose(values, agent.policy.values(seen), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "says"),
    [("ppo, normalised", "normalised observations"), ("q-learning", "agent q-learning"), ("ppo, masked", "illegal")],
)
def test_networks_that_do_not_fit_are_refused(name: str, says: str, tmp_path: Path) -> None:
    run = trained(name, tmp_path / "run")
    with pytest.raises(UsageError, match=says):
        export(run, "sb3", tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_agents_without_one_network_are_refused(tmp_path: Path) -> None:
    run = train("mcts", resolve_task("FrozenLake"), 50, out=tmp_path / "r", progress=False, evaluate_every=0,
                settings={"model": "tabular", "num_simulations": 2})  # fmt: skip
    with pytest.raises(UsageError, match=r"(?s)mcts has no policy.*hub-folder"):
        export(run, "onnx", tmp_path / "a.onnx")
    with pytest.raises(UsageError, match=r"(?s)format 'onx'.*onnx"):
        export(run, "onx")


def test_a_hub_folder_is_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert line("train q-learning FrozenLake --steps 300 --final-episodes 2 --evaluate-every 0 --out run") == 0
    Path("run/evil.pkl").write_bytes(b"cos\nsystem\n(S'touch EXECUTED'\ntR.")
    assert line("export run --to hub-folder --out card") == 0
    assert "q-learning in FrozenLake" in Path("card/README.md").read_text() and not Path("card/evil.pkl").exists()
    assert not [path for path in Path("card").rglob("*") if path.suffix in (".pkl", ".pt", ".bin", ".zip")]
    ours, theirs = (load_agent(folder)[0] for folder in ("run", "card"))
    np.testing.assert_array_equal(ours.q_values, theirs.q_values)  # type: ignore[attr-defined]
    assert line("export run --to hub-folder --out card") == 2  # is not empty


def test_pushed_and_pulled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INSCAPE_HUB", str(tmp_path / "hub"))
    assert line("train q-learning FrozenLake --steps 300 --final-episodes 0 --evaluate-every 0 --out run") == 0
    assert line("export run --to hub:me/lake") == 0
    Path("hub/me/lake/model.pkl").write_bytes(b"x")
    Path("hub/me/lake/link").symlink_to("/etc/hostname")
    (Path("hub/me/lake/episodes")).mkdir(exist_ok=True)
    Path("hub/me/lake/episodes/a.npz").symlink_to("/etc/hostname")
    assert line("export hub:me/lake --to hub-folder --out pulled") == 0
    assert not any((Path("pulled") / name).exists() for name in ("model.pkl", "link", "episodes/a.npz"))
    np.testing.assert_array_equal(*(load_agent(f)[0].q_values for f in ("run", "pulled")))  # type: ignore[attr-defined]
    capsys.readouterr()
    for name in ("hub:../run", "hub:", "hub:a/b/c", "hub:me/none"):
        assert main(["export", name, "--to", "hub-folder", "--out", "other"]) == 2
        assert "Traceback" not in capsys.readouterr().err and not Path("other").exists()


def test_the_hub_of_hugging_face_is_asked_for_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its client with a folder in place of the network: what is uploaded comes back; what it raises is a UsageError."""
    import shutil

    hub = pytest.importorskip("huggingface_hub")
    run = trained("q-learning", tmp_path / "run")
    monkeypatch.delenv("INSCAPE_HUB", raising=False)

    class Api:
        def create_repo(self, name: str, exist_ok: bool) -> Any:
            return type("Url", (), {"repo_id": f"me/{name}"})

        def upload_folder(self, folder_path: Path, repo_id: str, commit_message: str) -> None:
            shutil.copytree(folder_path, tmp_path / "remote" / repo_id)

    def download(name: str, local_dir: Path) -> str:
        if not (tmp_path / "remote" / name).exists():
            raise ConnectionError("no network")
        return str(shutil.copytree(tmp_path / "remote" / name, local_dir))

    monkeypatch.setattr(hub, "HfApi", Api)
    monkeypatch.setattr(hub, "snapshot_download", download)
    assert export(run, "hub:lake") == "hub:me/lake"
    pulled = export("hub:me/lake", "hub-folder", tmp_path / "pulled")
    assert load_agent(Path(pulled))[1].name == "FrozenLake"
    with pytest.raises(UsageError, match=r"(?s)ConnectionError: no network.*INSCAPE_HUB"):
        export("hub:me/none", "hub-folder", tmp_path / "other")
