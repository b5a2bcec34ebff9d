"""A causal language model as an agent: the world's words in, an action's name out."""

from inscape.agents.llm.agent import LanguageModelAgent, LanguageModelSettings

__all__ = ["LanguageModelAgent", "LanguageModelSettings"]
