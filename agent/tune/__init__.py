"""`callpoint tune`: measures a sound card and its room, and makes a profile of the figures.

The core is pure: signals in, figures out (`chirp`, `drift`, `levels`, `room`, `choose`). `duplex` plays and records on
the devices, `session` measures one thing after the other, `profile_file` and `drawing` write down what came out.
"""
