"""The experiment's side: fill in the three answers below, then call `send_data`.

On a PC without the package copy the one file artiq_link/link_client.py beside this one.
"""

import argparse
import sys

try:
    from artiq_link import link_client
except ImportError:
    import link_client


def server_success(response_data):
    """The server has done it: edit what happens then."""
    print("success:", response_data.get("command_id"), response_data.get("result"))


def server_fail(response_data):
    """The server said no: edit what happens then."""
    print("failed:", response_data.get("code"), response_data.get("error"))


def fail_connect():
    """There was no connection or no answer (the log says why): edit what happens then."""
    print("no answer from the server")


def send_data(json_data, host="127.0.0.1", port=65432, debug=False, timeout=5.0, **options):
    """Send one command, call one of the three functions above, return the reply or None.

    It takes `timeout` seconds at most. `debug=True` prints what is sent and received.
    A server that wants a certificate: `ssl=["mine.pem", "mine.key", "lab-pc.pem"]`;
    one that wants a token: `link={"token": "..."}`.
    """
    return link_client.send_data(
        json_data, host, port, debug, timeout, server_success, server_fail, fail_connect, **options
    )


# What `python client.py` sends: edit it, or call send_data from your experiment.
REQUESTS = [
    {
        "command_id": "test_command",
        "param1": 42,
        "param2": "hello",
        "param3": True,
        "param4": [1, 2, 3],
    },
    {"command_id": "set_frequency", "channel": 0, "frequency": 80e6},  # Hz
    {"command_id": "get", "channel": 0},
]


def main():
    """Send the requests; return 0 if all went well, 1 if the server said no, 2 otherwise."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=65432)
    parser.add_argument("--debug", action="store_true", help="print what is sent and received")
    arguments = parser.parse_args()
    try:
        link_client.Peer(arguments.host, arguments.port)
    except ValueError as error:
        parser.error(str(error))
    for request in REQUESTS:
        reply = send_data(request, arguments.host, arguments.port, arguments.debug)
        if reply is None or reply["status"] == "fail":
            return 2 if reply is None else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
