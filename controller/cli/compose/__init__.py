"""``import``: a compose file for one host, written as the TOML that does the same.

Promises: what compose would refuse is an error of one line; all else comes out, as a value or as a comment that says at
its place what was left out and why; whatever comes out is TOML that the program reads. Nothing is run or fetched.
May import: settings, errors, and what reads the file.
"""
