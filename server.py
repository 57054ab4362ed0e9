"""The lab PC's server: a template. Copy it, put your instrument in, and run it.

python server.py            (Ctrl-C stops it; --help lists the options)
"""

import artiq_link
from artiq_link import DDS, SimulatedDriver

# The instrument. Its hardware is not touched before the server has its port.
dds = DDS(SimulatedDriver())


def start_server(host="127.0.0.1", port=65432, debug=False, **options):
    """Listen for ever. With debug, print each message received and sent."""
    artiq_link.start_server(
        {"dds": dds}, interact=interact, host=host, port=port, debug=debug, **options
    )


def interact(data):
    """Act on one message, and return what the client gets as its result.

    data is a dictionary: "command_id" says what to do, its other entries are the parameters.
    What this function raises is what the client is told instead of a result.
    """
    if data["command_id"] == "test_command":
        print("param1:", data["param1"])
        print("param2:", data["param2"])
        print("param3:", data["param3"])
        print("param4:", data["param4"])
        return "test_command was received"

    # Your own commands go here, each like the one above. What cannot be done is refused:
    #     raise artiq_link.OutOfRange("param1: 42 mm is beyond the stage's 25 mm", "param1")

    # The DDS knows its commands itself, with their units and limits. Without a DDS, let the last
    # line refuse what is left: return artiq_link.unknown(data)
    # A second instrument, which start_server is given too, is asked before:
    #     if data["command_id"] in second.commands:
    #         return second.interact(data)
    return dds.interact(data)


if __name__ == "__main__":
    options = artiq_link.parse_server_options(__doc__)
    # With real hardware, --simulation stays what it says:
    #     if not options.simulation:
    #         dds = DDS(YourDriver("COM3"))
    start_server(options.host, options.port, options.debug, **options.more)
