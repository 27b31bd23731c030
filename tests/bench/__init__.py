"""Measures Dock Runner beside the bare SDK and Swarm. Never part of the tests: figures are compared by people."""
