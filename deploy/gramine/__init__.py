"""Gramine images and manifests of the three cores, and the rules that they keep."""
