"""Scenes, and drawing them with pygame."""
