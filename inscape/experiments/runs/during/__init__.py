"""What happens while an agent learns, beside learning: best model kept, stopping early, videos, curriculum."""
