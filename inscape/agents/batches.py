"""Batches of observations and actions of any space: rows, stacks, counts."""

from inscape.envs.tasks.checking.batches import alike as alike
from inscape.envs.tasks.checking.batches import batch_of as batch_of
from inscape.envs.tasks.checking.batches import copied as copied
from inscape.envs.tasks.checking.batches import count_of as count_of
from inscape.envs.tasks.checking.batches import folded as folded
from inscape.envs.tasks.checking.batches import is_array_space as is_array_space
from inscape.envs.tasks.checking.batches import is_one as is_one
from inscape.envs.tasks.checking.batches import leading_shape as leading_shape
from inscape.envs.tasks.checking.batches import objects as objects
from inscape.envs.tasks.checking.batches import rows_of as rows_of
from inscape.envs.tasks.checking.batches import stacked as stacked
