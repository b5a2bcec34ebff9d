"""A causal language model as an agent: the world's words in, an action's name out."""

from inscape.agents.llm.agent import LanguageModelAgent
from inscape.agents.llm.settings import LanguageModelSettings

__all__ = ["LanguageModelAgent", "LanguageModelSettings"]
