"""The boundary to third-party environments: what they hand over is copied, checked and named."""
