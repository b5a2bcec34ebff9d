"""The latent model: what is seen is encoded into a recurrent state that foresees. Deeper paths are private."""
