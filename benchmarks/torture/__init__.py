"""Faults against a real server process, and whether its promises hold: ``make torture``.

=============== ===============================================================================
``victim``      the server that is tortured, with a counter that outlives it
``lab``         that server as a process: started, killed, looked at
``dialects``    a count in the bytes of each dialect
``proxy``       a bad network between a client and the server
``trial``       one run of a row, and what it finds
``rows``        the table's rows, from the modules below
``kills``       the server is killed
``network``     connections are cut, delayed, throttled, swallowed
``suspended``   server or client stand still for a while
``crowd``       thousands of clients
``mutations``   damaged requests
``worst``       the most expensive requests
``handlers``    bad commands
``soak``        work for a long time
``files``       the journal's file fails
``descriptors`` no file can be opened any more
``attacks``     what a stranger tries
``report``      what was found as table and JSON
=============== ===============================================================================
"""
