"""Where the language model comes from: built small in place, or loaded from a folder or a hub.

The small one is Llama-shaped, with a byte-level tokenizer whose merges are learnt from the world's own descriptions: it
encodes any text (what it never saw, byte by byte) and nothing is downloaded. Numbers are always split into digits.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from inscape.agents.llm.text import Prompter, format_answer
from inscape.envs.text.described import action_names_of
from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
SAFE = ".safetensors"


@dataclass(frozen=True)
class LanguageModel:
    """A causal language model and its tokenizer, as transformers has them."""

    model: Any
    tokenizer: Any


def require_transformers() -> Any:
    """Returns the package transformers.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise UsageError(
            f"the agent llm needs the package transformers ({error})",
            expected="the extra `llm`",
            hint="pip install 'inscape[llm]'",
        ) from error
    return transformers


# ---------------------------------------------------------------------------------------------------- built in place


def sample_observations(task: Task, count: int, rng: np.random.Generator) -> np.ndarray:
    """Returns about `count` observations `[N, ...]` met by acting at random."""
    envs = task.vector_env(8, autoreset="same-step")
    try:
        observation, infos = envs.reset(seed=int(rng.integers(2**31)))
        met = [np.array(observation)]
        while len(met) * 8 < count:
            mask = np.asarray(infos.get("action_mask", np.ones((8, _num_actions(task)), bool)))
            actions = np.where(mask, rng.random(mask.shape), -1.0).argmax(1) + _first_action(task)
            observation, _, _, _, infos = envs.step(actions)
            met.append(np.array(observation))
    finally:
        envs.close()
    return np.concatenate(met)


def _num_actions(task: Task) -> int:
    return int(task.action_space.n)  # type: ignore[attr-defined]


def _first_action(task: Task) -> int:
    return int(task.action_space.start)  # type: ignore[attr-defined]


def build_tokenizer(task: Task, vocabulary: int, seed: int) -> Any:
    """Returns a tokenizer for the task: byte-level BPE learnt from descriptions of states met at random.

    Args:
        task: whose prompts and answers to learn from.
        vocabulary: largest number of tokens; at least 257 (every byte, and the end of a text).
        seed: of the random walk.
    """
    observations = sample_observations(task, 512, np.random.default_rng([seed, 0]))
    prompts = sorted(set(Prompter(task, list_actions=False).prompts(observations)))
    answers = [format_answer(name) for name in action_names_of(task)]
    # answers repeated, so that a rare name is one token too
    return tokenizer_from_texts(prompts + answers * 8, vocabulary)


def tokenizer_from_texts(texts: Sequence[str], vocabulary: int) -> Any:
    """Returns a byte-level BPE tokenizer learnt from texts; digits are tokens of their own.

    Args:
        texts: to learn merges from.
        vocabulary: largest number of tokens; at least 257 (every byte, and the end of a text).
    """
    transformers = require_transformers()
    if vocabulary < 257:
        raise UsageError(f"a vocabulary of {vocabulary} tokens", expected="at least 257: every byte, and the end")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=["<end>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>")


def tokenizer_from_json(text: str) -> Any:
    """Returns the tokenizer that `backend_tokenizer.to_str()` described."""
    transformers = require_transformers()
    from tokenizers import Tokenizer

    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(text), eos_token="<end>", pad_token="<end>"
    )


def build_model(tokenizer: Any, hidden_size: int, layers: int, heads: int, seed: int) -> Any:
    """Returns a small Llama-shaped model with random weights, the same for the same seed, in float32.

    Source: Touvron et al. (2023), LLaMA, arXiv:2302.13971 (the architecture; not the sizes).
    """
    transformers = require_transformers()
    if hidden_size % (2 * heads):
        raise UsageError(f"hidden_size {hidden_size} for {heads} heads", expected="a multiple of twice the heads")
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=hidden_size**-0.5,
    )
    # weights are drawn from torch's global generator; leave it as it was
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.LlamaForCausalLM(config)
    return model.eval()


# ------------------------------------------------------------------------------------------------------------- loaded


def load_language_model(source: str, revision: str | None = None) -> LanguageModel:
    """Returns the model and tokenizer in a folder, or under a hub's name if it can be had.

    Weights are read from safetensors only, and no code of the model's own is ever run.

    Raises:
        UsageError: there is no such model, its weights are pickled, it needs code of its own, or has no tokenizer.
    """
    transformers = require_transformers()
    folder = Path(source).expanduser()
    if folder.exists():
        _check_folder(folder)
        source = str(folder)
    elif _looks_like_path(source):
        raise UsageError(
            f"no model folder {source}",
            expected="a folder with config.json, *.safetensors and a tokenizer, or a hub's name such as owner/model",
        )
    pinned = {} if revision is None or folder.exists() else {"revision": revision}
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            source, use_safetensors=True, trust_remote_code=False, dtype=torch.float32, **pinned
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False, **pinned)
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise _loading_error(source, error) from error
    return LanguageModel(model.eval(), tokenizer)


def _looks_like_path(source: str) -> bool:
    return source.startswith((".", "/", "~")) or source.endswith("/") or source.count("/") > 1 or "\\" in source


def _check_folder(folder: Path) -> None:
    expected = "a folder with config.json, *.safetensors and a tokenizer"
    if not (folder / "config.json").is_file():
        raise UsageError(f"{folder} has no config.json", expected=expected)
    names = sorted(path.name for path in folder.iterdir())
    if not any(name.endswith(SAFE) for name in names):
        pickled = [name for name in names if name.endswith(PICKLES)]
        if pickled:
            raise UsageError(
                f"{folder} has its weights as {', '.join(pickled)}: reading a pickle runs code",
                expected="weights in safetensors",
                hint="on a machine of the model's maker: model.save_pretrained(folder), which writes safetensors",
            )
        raise UsageError(f"{folder} has no weights: {', '.join(names)}", expected=expected)
    for index in sorted(folder.glob("*.index.json")):
        _check_index(index)


def _check_index(index: Path) -> None:
    """Raises UsageError unless an index of weights leads to safetensors files beside it, and to nothing else."""
    try:
        shards = set(json.loads(index.read_bytes())["weight_map"].values())
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{index} is no index of weights: {error}", expected="a weight_map to *.safetensors"
        ) from error
    for shard in sorted(map(str, shards)):
        if not shard.endswith(SAFE) or Path(shard).name != shard or not (index.parent / shard).is_file():
            raise UsageError(
                f"{index} leads to {shard!r}: reading a pickle runs code, and so may what lies elsewhere",
                expected=f"files ending in {SAFE}, in the same folder",
                hint="on a machine of the model's maker: model.save_pretrained(folder), which writes safetensors",
            )


def _loading_error(source: str, error: Exception) -> UsageError:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "trust_remote_code" in str(error) or "custom code" in str(error):
        return UsageError(
            f"the model {source} needs code of its own, and code of a model is never run",
            expected="an architecture that transformers itself has",
        )
    return UsageError(
        f"cannot load the language model {source}: {first}",
        expected="a folder, or a hub's name that is reachable, with config.json, *.safetensors and a tokenizer",
        hint="leave out --model for the small built-in one; without a network, give a folder",
    )


def encode(tokenizer: Any, texts: Sequence[str], special: bool) -> list[tuple[int, ...]]:
    """Returns the tokens of each text; `special` adds what the model begins texts with, never what ends them.

    An answer is scored as what follows a prompt: after the end of a text, or a separator, it would follow nothing.

    Raises:
        UsageError: nothing is left of a text but special tokens.
    """
    rows = tokenizer(list(texts), add_special_tokens=special)["input_ids"]
    if not special:
        return [tuple(row) for row in rows]
    plain = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    if "" in texts or not all(plain):
        raise UsageError("a prompt without tokens", expected="a text that the tokenizer does not drop")
    return [_without_end(tuple(row), tuple(own)) for row, own in zip(rows, plain, strict=True)]


def _without_end(row: tuple[int, ...], own: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the tokens up to the end of the text's own, which are looked for from behind."""
    for end in range(len(row), len(own) - 1, -1):
        if row[end - len(own) : end] == own:
            return row[:end]
    return own  # the template changes the text itself
