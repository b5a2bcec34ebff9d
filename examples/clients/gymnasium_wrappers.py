"""Gymnasium: every wrapper there is, for one environment and for copies, around a world that it suits.

usage: python gymnasium_wrappers.py
"""
