"""Whole lives of the program against faults, in moved time: each is told by its seed alone.

``python -m tests.faults.simulation SEED`` tells one of them step by step.
"""
