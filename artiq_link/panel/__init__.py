"""The panel: a web page that shows the instruments, as plain files in ``static/``.

`server.pages` reads them, and `wire.http` gives them to browsers. The page commands instruments as
every client does, through a WebSocket of the same port.
"""
