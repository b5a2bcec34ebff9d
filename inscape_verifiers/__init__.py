"""Verifiers finds tasksets by the name of a top-level package: `inscape-verifiers` is this one."""

from inscape.envs.text.conventions.verifiers_tasks import WorldEnv, WorldTaskset

__all__ = ["WorldEnv", "WorldTaskset"]
