"""A small causal transformer over tokens: world models of sequences, and language models made in place.

The architecture is Llama's (pre-norm with RMSNorm, rotary positions, gated feed-forward, grouped keys and values), and
so are the names of its weights: a state dict goes into transformers' `LlamaForCausalLM` and back, and both compute the
same. Nothing here imports transformers.

Sources: Touvron et al. (2023), "LLaMA", arXiv:2302.13971, section 2.2; Vaswani et al. (2017), "Attention is all you
need"; Su et al. (2021), "RoFormer" (rotary positions, Eq. 34); Zhang & Sennrich (2019), "Root mean square layer
normalization"; Shazeer (2020), "GLU variants improve transformer"; Ainslie et al. (2023), "GQA".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from inscape.errors import UsageError


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes of a decoder.

    Attributes:
        vocabulary: V, how many tokens there are.
        width: D, of the residual stream; a multiple of twice `heads`.
        layers: blocks.
        heads: of attention.
        kv_heads: of keys and values, a divisor of `heads`; None for as many.
        hidden: width of the feed-forward part; None for 8/3·D, rounded up to a multiple of 8.
        context: longest sequence.
        rope_theta: base of the rotary wavelengths.
        norm_eps: added to the mean square before its root.
        tied: the last matrix is the embedding's.
    """

    vocabulary: int
    width: int = 64
    layers: int = 2
    heads: int = 4
    kv_heads: int | None = None
    hidden: int | None = None
    context: int = 256
    rope_theta: float = 10000.0
    norm_eps: float = 1e-6
    tied: bool = False

    def __post_init__(self) -> None:
        for name in ("vocabulary", "width", "layers", "heads", "context"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UsageError(f"{name} = {value!r} of a decoder", expected="a whole number of at least 1")
        if self.width % (2 * self.heads):
            raise UsageError(f"width {self.width} for {self.heads} heads", expected="a multiple of twice the heads")
        if self.kv_heads is not None and (self.kv_heads < 1 or self.heads % self.kv_heads):
            raise UsageError(f"kv_heads = {self.kv_heads} for {self.heads} heads", expected="a divisor of the heads")

    @property
    def head_width(self) -> int:
        """D / heads."""
        return self.width // self.heads

    @property
    def feed_forward(self) -> int:
        """Width of the feed-forward part."""
        return self.hidden if self.hidden is not None else 8 * math.ceil(self.width / 3)


class Cache:
    """Keys and values of what was read: a step costs one token, not the sequence.

    Args:
        batch: B sequences.
        config: of the decoder.
        like: a parameter: dtype and device.

    Attributes:
        length: tokens read.
    """

    def __init__(self, batch: int, config: DecoderConfig, like: Tensor) -> None:
        heads = config.kv_heads or config.heads
        shape = (config.layers, 2, batch, heads, config.context, config.head_width)
        self.store = torch.zeros(shape, dtype=like.dtype, device=like.device)
        self.length = 0

    def select(self, rows: Tensor) -> Cache:
        """Returns the cache of some of the sequences, in another order perhaps; a copy."""
        made = object.__new__(Cache)
        made.store, made.length = self.store[:, :, rows].clone(), self.length
        return made


class RMSNorm(nn.Module):
    """x / √(mean x² + ε) · g."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        normed = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * normed.to(x.dtype)


class Attention(nn.Module):
    """Causal self-attention with rotary positions."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads = config.heads, config.kv_heads or config.heads
        self.head_width = config.head_width
        narrow = self.kv_heads * self.head_width
        self.q_proj = nn.Linear(config.width, config.width, bias=False)
        self.k_proj = nn.Linear(config.width, narrow, bias=False)
        self.v_proj = nn.Linear(config.width, narrow, bias=False)
        self.o_proj = nn.Linear(config.width, config.width, bias=False)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], stored: Tensor | None, past: int) -> Tensor:
        """`x [B, T, D]` → `[B, T, D]`.

        Args:
            x: what is read now.
            turn: cosines and sines of its positions.
            stored: `[2, B, H, context, W]` keys and values, into which these are written; None without a cache.
            past: how many tokens the cache holds.
        """
        batch, length, width = x.shape
        q = self.q_proj(x).view(batch, length, self.heads, self.head_width).transpose(1, 2)
        k = self.k_proj(x).view(batch, length, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.v_proj(x).view(batch, length, self.kv_heads, self.head_width).transpose(1, 2)
        q, k = _turned(q, *turn), _turned(k, *turn)
        mask = None
        if stored is not None:
            stored[0, :, :, past : past + length], stored[1, :, :, past : past + length] = k, v
            k, v = stored[0, :, :, : past + length], stored[1, :, :, : past + length]
            if past and length > 1:
                mask = torch.ones(length, past + length, dtype=torch.bool, device=x.device).tril(past)
        if self.kv_heads != self.heads:
            k, v = (part.repeat_interleave(self.heads // self.kv_heads, dim=1) for part in (k, v))
        causal = mask is None and length > 1
        read = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        mixed: Tensor = self.o_proj(read.transpose(1, 2).reshape(batch, length, width))
        return mixed


def _turned(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotates pairs (i, i + W/2) of each head by its position's angles."""
    first, second = x.chunk(2, dim=-1)
    return x * cosines + torch.cat((-second, first), dim=-1) * sines


class FeedForward(nn.Module):
    """down(silu(gate x) · up x)."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.width, config.feed_forward, bias=False)
        self.up_proj = nn.Linear(config.width, config.feed_forward, bias=False)
        self.down_proj = nn.Linear(config.feed_forward, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return made


class Block(nn.Module):
    """Attention and feed-forward, each added to the residual stream."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.self_attn, self.mlp = Attention(config), FeedForward(config)
        self.input_layernorm = RMSNorm(config.width, config.norm_eps)
        self.post_attention_layernorm = RMSNorm(config.width, config.norm_eps)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], stored: Tensor | None, past: int) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), turn, stored, past)
        x = x + self.mlp(self.post_attention_layernorm(x))
        return x


class _Stack(nn.Module):
    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocabulary, config.width)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.width, config.norm_eps)


class Decoder(nn.Module):
    """Tokens in, logits of the next token out.

    Args:
        config: sizes.
        seed: of the first weights, the same on every device; torch's own generator stays as it is.
    """

    def __init__(self, config: DecoderConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = _Stack(config)
            self.lm_head = nn.Linear(config.width, config.vocabulary, bias=False)
            self._begin()
        if config.tied:
            self.lm_head.weight = self.model.embed_tokens.weight
        half = torch.arange(0, config.head_width, 2, dtype=torch.float32) / config.head_width
        angles = torch.arange(config.context, dtype=torch.float32)[:, None] / config.rope_theta**half
        angles = torch.cat((angles, angles), dim=-1)
        self.register_buffer("_cosines", angles.cos(), persistent=False)
        self.register_buffer("_sines", angles.sin(), persistent=False)

    def _begin(self) -> None:
        """Weights of size 1/√inputs; those that write to the residual stream divided by √(2·layers), as GPT-2's."""
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                continue
            inputs = self.config.width if "embed" in name else parameter.shape[1]
            scale = inputs**-0.5
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                scale /= math.sqrt(2 * self.config.layers)
            nn.init.normal_(parameter, std=scale)

    def cache(self, batch: int) -> Cache:
        """Returns an empty cache for `batch` sequences."""
        return Cache(batch, self.config, self.model.embed_tokens.weight)

    def hidden(self, tokens: Tensor, cache: Cache | None = None, upto: int | None = None) -> Tensor:
        """Returns the residual stream, `[B, T, D]`.

        Args:
            tokens: `[B, T]`.
            cache: of what was read before, into which these are added.
            upto: after this many blocks, as it is; None: after the last, normalised, as the logits read it.

        Raises:
            UsageError: more tokens than the context holds.
        """
        past = 0 if cache is None else cache.length
        length = tokens.shape[1]
        if past + length > self.config.context:
            raise UsageError(
                f"{past + length} tokens", expected=f"at most {self.config.context}, the context", hint="context=…"
            )
        turn = self._cosines[past : past + length], self._sines[past : past + length]  # type: ignore[index]
        x = self.model.embed_tokens(tokens)
        for number, block in enumerate(self.model.layers):
            if upto is not None and number == upto:
                break
            x = block(x, turn, None if cache is None else cache.store[number], past)
        if cache is not None:
            cache.length = past + length
        normed: Tensor = x if upto is not None else self.model.norm(x)
        return normed

    def forward(self, tokens: Tensor, cache: Cache | None = None) -> Tensor:
        """Returns logits of the next token after each, `[B, T, V]`, float32 or the weights' dtype."""
        logits: Tensor = self.lm_head(self.hidden(tokens, cache))
        return logits

    def num_parameters(self) -> int:
        """Returns how many numbers are learned; tied ones once."""
        return sum(p.numel() for p in {id(p): p for p in self.parameters()}.values())


def optimizer_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Returns a module's parameters for an optimiser: matrices with weight decay, gains and embeddings without."""
    decayed: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        (decayed if parameter.dim() > 1 and "embed" not in name else others).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
