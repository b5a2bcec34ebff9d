"""The small decoder computes what transformers' Llama computes with the same weights, in one go or token by token."""

import pytest
import torch

from inscape.errors import UsageError
from inscape.world_models.networks.decoder import Decoder, DecoderConfig

SIZES = {"vocabulary": 23, "width": 32, "layers": 3, "heads": 4, "context": 40}


@pytest.mark.parametrize("more", [{}, {"kv_heads": 2, "hidden": 48}, {"tied": True, "rope_theta": 500.0}], ids=str)
def test_llama_of_transformers_computes_the_same(more):
    transformers = pytest.importorskip("transformers")
    config = DecoderConfig(**SIZES, **more)
    ours = Decoder(config, seed=1)
    options = {"rope_theta": config.rope_theta, "rope_type": "default"}
    theirs = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=23, hidden_size=32, intermediate_size=config.feed_forward, num_hidden_layers=3,
            num_attention_heads=4, num_key_value_heads=config.kv_heads or 4, max_position_embeddings=40,
            rms_norm_eps=config.norm_eps, tie_word_embeddings=config.tied, rope_parameters=options,
            rope_theta=config.rope_theta, attn_implementation="eager",
        )
    ).eval()  # fmt: skip
    missing = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert not missing.unexpected_keys
    assert all(key == "lm_head.weight" for key in missing.missing_keys)
    tokens = torch.randint(23, (3, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens), theirs(tokens).logits, atol=1e-5, rtol=1e-5)
    back = Decoder(config, seed=2)
    back.load_state_dict({k: v for k, v in theirs.state_dict().items() if k in back.state_dict()})
    with torch.no_grad():
        torch.testing.assert_close(back(tokens), ours(tokens))


def test_token_by_token_equals_all_at_once():
    decoder = Decoder(DecoderConfig(**SIZES, kv_heads=2), seed=3)
    tokens = torch.randint(23, (2, 30), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = decoder(tokens)
        cache = decoder.cache(2)
        parts = [decoder(part, cache) for part in tokens.split([1, 1, 10, 1, 17], dim=1)]
        torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-5, rtol=1e-5)
        swapped = cache.select(torch.tensor([1, 0]))
        more = torch.randint(23, (2, 3), generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(decoder(more, swapped).flip(0), decoder(more.flip(0), cache), atol=1e-5, rtol=1e-5)


def test_what_comes_later_changes_nothing_before():
    decoder = Decoder(DecoderConfig(**SIZES), seed=0)
    tokens = torch.zeros(1, 12, dtype=torch.long)
    changed = tokens.clone()
    changed[0, 7] = 5
    with torch.no_grad():
        before, after = decoder(tokens), decoder(changed)
    assert torch.equal(before[:, :7], after[:, :7])
    assert not torch.allclose(before[:, 7:], after[:, 7:])


def test_the_same_seed_gives_the_same_weights_and_leaves_torch_alone():
    state = torch.get_rng_state()
    first, second, other = (Decoder(DecoderConfig(**SIZES), seed=seed) for seed in (4, 4, 5))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first.lm_head.weight, second.lm_head.weight)
    assert not torch.equal(first.lm_head.weight, other.lm_head.weight)
    assert Decoder(DecoderConfig(**SIZES, tied=True)).num_parameters() == first.num_parameters() - 23 * 32


@pytest.mark.parametrize("sizes", [{"width": 30}, {"kv_heads": 3}, {"layers": 0}, {"vocabulary": 2.5}], ids=str)
def test_sizes_that_do_not_fit_are_refused(sizes):
    with pytest.raises(UsageError):
        DecoderConfig(**{**SIZES, **sizes})


def test_longer_than_the_context_is_refused():
    with pytest.raises(UsageError, match="41 tokens"):
        Decoder(DecoderConfig(**SIZES))(torch.zeros(1, 41, dtype=torch.long))
