"""CUDA kernels on the CPU: the same source compiled by g++, for tests and for machines without a GPU."""

from .host import Module, load, missing, pack

__all__ = ["Module", "load", "missing", "pack"]
