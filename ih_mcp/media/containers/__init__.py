"""Containers as bytes: what stands in them and where they can be cut. Pure."""
