"""One call in flight, from the options that it was placed with to its end.

`Dialling` makes a `DialSettings` of a target, a command or an incoming call; a `Conversation` runs it, joining the
pure call, the gateway line and the call's sound.
"""
