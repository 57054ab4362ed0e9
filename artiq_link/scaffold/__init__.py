"""What ``artiq-link new`` writes: the server, client, database, experiment, simulation and tests
of a new instrument, from the templates in ``templates/``.

`server.py-tpl` and `client.py-tpl` are the project's own ``server.py`` and ``client.py``, byte for
byte. The other templates are Python as well, for an instrument ``gadget`` whose class is
``Gadget``, whose model is ``GADGET``, and which sentences call the ``gizmo``.
"""
