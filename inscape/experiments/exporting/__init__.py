"""Trained agents for other programs: ONNX, TorchScript, Stable-Baselines3, folders of a model hub."""
