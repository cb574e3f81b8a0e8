"""Login tokens that are renewed while the daemon runs: fetched from a file, a program or an address, well in time.

`keeper.TokenKeeper` runs one line's source. Tokens are in no log, exception or repr of this package.
"""
