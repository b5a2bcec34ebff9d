"""Curricula: learning in several settings of one world, chosen for each episode by a teacher."""
