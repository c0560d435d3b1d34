"""Collected where Flower is installed: see ``scripts/flower``."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("flwr") else ["test_flower.py"]
