"""Episodes per second of GRPO: `llm` beside TRL's GRPOTrainer, the same tiny model, world and settings, in one run.

    python -m benchmarks.trl_throughput --updates 10

64 episodes an update in groups of 8 that begin alike, one gradient step on all of them, learning rate 3e-4, no KL
penalty, temperature 1, float32, one thread, random weights. The model is the built-in Llama of `llm`, copied; TRL
generates with transformers. The first update of each is not counted.

`FrozenLake`: an episode of many decisions among four actions. `llm` scores the names. TRL plays by a `rollout_func`:
one token a decision, drawn among the first tokens of the four names (the cheapest that it can do), the episode as one
sequence, texts of the world left out of the loss.
`Arithmetic`: one answer of at most `--tokens` tokens, generated token by token by both.
"""

from __future__ import annotations

import argparse
import copy
import os
import tempfile
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from inscape.agents.llm import LanguageModelAgent
from inscape.agents.llm.generation.agent import TextAgent
from inscape.agents.llm.settings import LanguageModelSettings
from inscape.envs import text_env
from inscape.envs.tasks.resolve import resolve_task

EPISODES, GROUP = 64, 8
SETTINGS = LanguageModelSettings(
    algorithm="grpo",
    num_envs=EPISODES,
    group_size=GROUP,
    clone_steps=0,
    epochs=1,
    prompts_per_batch=EPISODES,
    learning_rate=3e-4,
    anneal="constant",
)


def ours(agent: Any, updates: int) -> float:
    """Returns episodes per second."""
    times = [time.perf_counter()]
    for _ in agent.learn(agent.task, 10**9):
        times.append(time.perf_counter())
        if len(times) == updates + 2:
            break
    return EPISODES * updates / (times[-1] - times[1])


def theirs(model: Any, tokenizer: Any, prompts: list[dict[str, Any]], tokens: int, updates: int, **given: Any) -> float:
    """Returns episodes per second of TRL with a `reward_funcs` and perhaps a `rollout_func`."""
    import datasets
    import trl
    from transformers import TrainerCallback

    times: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            times.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        args = trl.GRPOConfig(
            output_dir=folder,
            max_steps=updates + 1,
            per_device_train_batch_size=EPISODES,
            num_generations=GROUP,
            max_completion_length=tokens,
            learning_rate=3e-4,
            beta=0.0,
            temperature=1.0,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        trainer = trl.GRPOTrainer(
            model=model,
            args=args,
            train_dataset=datasets.Dataset.from_list(prompts),
            processing_class=tokenizer,
            callbacks=[Clock()],
            **given,
        )
        trainer.train()
    return EPISODES * updates / (times[-1] - times[0])


def lake_rollout(agent: LanguageModelAgent) -> Any:
    """Returns a `rollout_func` that plays FrozenLake."""
    prompter, tokenizer = agent.learner.prompter, agent.learner.policy.tokenizer
    first = [answer[0] for answer in agent.learner.policy.answers]
    assert len(set(first)) == len(first)
    others = sorted(set(range(len(tokenizer))) - set(first))
    batches = 0

    def rollout(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        nonlocal batches
        envs = [agent.task.env() for _ in prompts]
        seen = [env.reset(seed=batches * 1000 + i // GROUP)[0] for i, env in enumerate(envs)]
        batches += 1
        texts = prompter.prompts(np.asarray(seen))
        begun = [list(tokenizer(text)["input_ids"]) for text in texts]
        rows = [list(row) for row in begun]
        masks: list[list[int]] = [[] for _ in envs]
        returns, running = [0.0] * len(envs), list(range(len(envs)))
        while running:
            width = max(len(rows[i]) for i in running)
            ids = torch.tensor([[tokenizer.pad_token_id] * (width - len(rows[i])) + rows[i] for i in running])
            mask = torch.tensor([[0] * (width - len(rows[i])) + [1] * len(rows[i]) for i in running])
            drawn = trainer.model.generate(
                input_ids=ids, attention_mask=mask, max_new_tokens=1, do_sample=True, top_k=0,
                suppress_tokens=others,
            )[:, -1].tolist()  # fmt: skip
            left = []
            for i, token in zip(running, drawn, strict=True):
                obs, reward, terminated, truncated, _ = envs[i].step(np.int64(first.index(token)))
                returns[i] += float(reward)
                rows[i].append(token)
                masks[i].append(1)
                if not (terminated or truncated):
                    told = tokenizer("\n" + prompter.prompts(np.asarray([obs]))[0])["input_ids"]
                    rows[i] += told
                    masks[i] += [0] * len(told)
                    left.append(i)
            running = left
        completions = [row[len(start) :] for row, start in zip(rows, begun, strict=True)]
        return {
            "prompt_ids": begun,
            "completion_ids": completions,
            "logprobs": None,
            "env_mask": masks,
            "episode_return": returns,
        }

    return rollout


def returned(episode_return: list[float], **_: Any) -> list[float]:
    """The reward function: each episode's return."""
    return episode_return


def lake(repeat: int, given: argparse.Namespace) -> tuple[float, float]:
    """Returns episodes per second of both on FrozenLake."""
    task = resolve_task("FrozenLake", {})
    agent = LanguageModelAgent(task, repeat, "cpu", replace(SETTINGS))
    model, tokenizer = copy.deepcopy(agent.learner.policy.model), agent.learner.policy.tokenizer
    prompts = [{"prompt": "begin", "seed": seed} for seed in range(EPISODES // GROUP * (given.updates + 1))]
    reward = returned
    roll = lake_rollout(agent)
    b = theirs(model, tokenizer, prompts, 1024, given.updates, reward_funcs=reward, rollout_func=roll)
    return ours(agent, given.updates), b


def sums(repeat: int, given: argparse.Namespace) -> tuple[float, float]:
    """Returns episodes per second of both on Arithmetic."""
    task, env = resolve_task("Arithmetic", {"digits": 1}), text_env("Arithmetic", digits=1)
    agent = TextAgent(task, repeat, "cpu", replace(SETTINGS, answer_tokens=given.tokens))
    learner, prompts = agent.learner, []
    for seed in range(EPISODES // GROUP * (given.updates + 1)):
        talk = learner.begin(env)
        talk.observe(env.reset(seed=seed)[0])
        prompts.append({"prompt": learner.tokenizer.decode(talk.context(learner.room)[0]), "seed": seed})

    def reward(completions: list[str], seed: list[int], **_: Any) -> list[float]:
        found = []
        for text, one in zip(completions, seed, strict=True):
            env.reset(seed=one)
            found.append(env.step(env.cue + text)[1])
        return found

    model = copy.deepcopy(learner.model)
    b = theirs(model, learner.tokenizer, prompts, given.tokens, given.updates, reward_funcs=reward)
    return ours(agent, given.updates), b


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=8, help="of an answer in Arithmetic at most")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("| world | ours, episodes/s | TRL | ours / TRL | load |\n|---|---:|---:|---:|---:|")
    for name, measure in (("FrozenLake", lake), ("Arithmetic", sums)):
        for repeat in range(given.repeats):
            a, b = measure(repeat, given)
            print(f"| {name} | {a:,.0f} | {b:,.0f} | {a / b:.1f} | {os.getloadavg()[0]:.0f} |", flush=True)


if __name__ == "__main__":
    main()
