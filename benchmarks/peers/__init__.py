"""One rival a file, each as its documentation says, in its best asynchronous mode, sending to a sink on this machine.

Every file has ``contender(sink, place)``: the app wrapped, and what waits until all is delivered. Each runs in an
environment of its own, so that nothing here may import what that environment lacks: not ``chest``, but for ``chest.py``.
"""
