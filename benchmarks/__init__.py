"""What an exchange costs, beside what others cost: `exchange` prints the table, `post` the rest.

=============== ===============================================================================
``programs``    what is served beside the link: a bare echo, a bare sink, an instrument
``peers``       other ways to call a function on another computer, each with server and client
``processes``   servers and crowds of clients in processes of their own
``measures``    times turn by turn, CPU times, memory, imports
``link``        what is measured of one tree of the link's code: its client, its servers
``rows``        the table's rows, each with its target
``work``        cost against work
``report``      the figures as table, JSON and chart
``exchange``    the program
=============== ===============================================================================
"""
