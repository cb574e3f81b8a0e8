"""The device's configuration: typed models of `callpoint.toml`, its loader and its secrets.

`load.load_config` reads a file into a `model.Config`, or raises `problems.ConfigErrors` with every problem at once.
"""
