"""Tabular models: enumerated, or learned by counting."""
