"""Watching, playing, video, the gallery."""
