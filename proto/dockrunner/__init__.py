"""Protobuf package ``dockrunner``."""
