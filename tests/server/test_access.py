"""Who may connect from other computers, and what he may do there, in each dialect."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from artiq_link import CannotListen, Instrument, Link, LinkServer, ServerFailed, command
from tests.conftest import (
    CONTROL_TOKEN,
    PATIENCE,
    WATCH_TOKEN,
    Certificates,
    Probe,
    until,
)
from tests.peers import comet_content, comet_frame, server_has_ended
from tests.server.asking import Serve
from tests.server.elsewhere import ask_from, ndsp_call

SET = {"command_id": "set_frequency", "channel": 0, "frequency": 80e6}
WANTED = "this server wants a token: give yours as link.token"
HERE = "programs of this computer"
WATCHING = "'set_frequency' needs the role control on dds, and this token may only watch"


def refused(reply: dict[str, Any], error: str) -> bool:
    return (reply["status"], reply["code"], reply["error"]) == ("fail", "unauthorized", error)


def json_request(message: dict[str, Any], token: str | None = None, **link: Any) -> bytes:
    members = {**link, **({} if token is None else {"token": token})}
    return json.dumps({**message, "link": members}).encode()


# --- who is let in


def test_nobody_from_elsewhere_unless_the_keeper_says_who(serve: Serve) -> None:
    """It does not start, and the sentence names the ways out."""
    for host in ("0.0.0.0", "*"):
        with pytest.raises(CannotListen) as closed:
            serve(host=host)
        assert str(closed.value).startswith("not listening on 0.0.0.0:")
        assert str(closed.value).endswith(
            ": whoever reaches it could command the instruments; let in who has a certificate "
            "(--ssl CERT KEY PEER), who has a token (--token-file FILE), or everyone (--open)"
        )


def test_the_port_is_free_again_after_a_refusal(serve: Serve) -> None:
    server = serve()
    port = server.port
    server.stop()
    server_has_ended()
    with pytest.raises(CannotListen, match=r"^not listening on"):
        serve(host="0.0.0.0", port=port)
    serve(port=port)


def test_no_hardware_is_touched_before(serve: Serve) -> None:
    class Never(Instrument):
        def open(self) -> None:
            pytest.fail("it was opened")

    with pytest.raises(CannotListen):
        serve({"never": Never()}, host="0.0.0.0")


@pytest.mark.parametrize(
    "options",
    [{"ssl": ["a", "b", "c"]}, {"token_file": "tokens"}],
    ids=["certificates", "tokens"],
)
def test_open_and_closed_at_once_is_a_mistake(serve: Serve, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^open to all, a server asks for neither certificates"):
        serve(open_to_all=True, **options)


@pytest.mark.parametrize("files", ["abc", ["a", "b"], []])
def test_three_files(serve: Serve, files: Any) -> None:
    with pytest.raises(ValueError, match=r"^ssl: expected three files, CERT, KEY and PEER$"):
        serve(ssl=files)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (lambda c, t: {}, HERE),
        (
            lambda c, t: {"ssl": c.of_server},
            "programs of this computer, and whoever has a certificate",
        ),
        (lambda c, t: {"token_file": t}, f"{HERE}, and whoever has a token"),
        (
            lambda c, t: {"open_to_all": True},
            "open: whoever reaches it can command the instruments",
        ),
    ],
)
def test_the_status_tells_who_may_connect(
    serve: Serve,
    certificates: Certificates,
    token_file: str,
    options: Callable[[Certificates, str], dict[str, Any]],
    told: str,
) -> None:
    server = serve(**options(certificates, token_file))
    assert Link(port=server.port).call("link.status")["access"] == told


def test_open_is_open(
    serve: Serve, elsewhere: str, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so as well."""
    server = serve(host=elsewhere, open_to_all=True)
    assert Link(elsewhere, server.port).send(SET)["status"] == "success"
    assert caplog.messages == [
        f"listening on {elsewhere}:{server.port}: whoever reaches it can command the instruments"
    ]


def test_without_proofs_an_exchange_costs_nothing(
    serve: Serve, certificates: Certificates, elsewhere: str
) -> None:
    """There is nobody who looks at it."""
    for options in ({}, {"open_to_all": True, "host": elsewhere}, {"ssl": certificates.of_server}):
        assert serve(**options)._access.guards == []


# --- tokens


@pytest.fixture
def server(serve: Serve, elsewhere: str, token_file: str) -> LinkServer:
    """From elsewhere it wants a token."""
    return serve(host=["127.0.0.1", elsewhere], token_file=token_file)


def test_a_token_in_json(server: LinkServer, probe: Probe) -> None:
    """Without one, with a wrong one, with each role."""
    reply = json.loads(ask_from(server, json_request(SET)))
    assert refused(reply, WANTED)
    assert reply["where"] == "link.token"
    reply = json.loads(ask_from(server, json_request(SET, "wrong" * 10)))
    assert refused(reply, "this token is none of this server's")
    assert refused(json.loads(ask_from(server, json_request(SET, WATCH_TOKEN))), WATCHING)
    assert probe.executed == []
    assert json.loads(ask_from(server, json_request(SET, CONTROL_TOKEN)))["status"] == "success"
    assert probe.executed == [(0, 80e6)]


def test_a_token_holds_for_its_connection(server: LinkServer, elsewhere: str) -> None:
    """From the request on that brings it."""
    ping = {"command_id": "link.ping"}
    requests = [
        json_request(ping, keep=True),
        json_request(ping, WATCH_TOKEN, keep=True),
        json_request(ping, keep=True),
        json_request(SET, keep=True),
        json_request(SET, CONTROL_TOKEN, keep=True),
        json_request(SET, keep=True),
        json_request(SET, "wrong", keep=True),
        json_request(SET),
    ]
    replies = ask_from(server, b"".join(requests)).splitlines()
    assert [json.loads(reply).get("error", "done") for reply in replies] == [
        WANTED,
        "done",
        "done",
        WATCHING,
        "done",
        "done",
        "this token is none of this server's",
        "done",
    ]
    assert refused(json.loads(ask_from(server, json_request(SET))), WANTED), "and for no other"


def test_what_may_be_watched(server: LinkServer, elsewhere: str, probe: Probe) -> None:
    """All that changes nothing; every other name needs control, and so does none that there is."""
    link = Link(elsewhere, server.port, link={"token": WATCH_TOKEN})
    for name in ("link.ping", "link.status", "link.describe"):
        link.call(name)
    assert link.call("link.check", requests=[SET]) == [
        {"status": "success", "command_id": "set_frequency"}
    ]
    for name in ("set_frequency", "dds.set_frequency", "count", "nothing", "link.nothing"):
        with pytest.raises(ServerFailed, match=r"^unauthorized: .* needs the role control"):
            link.call(name, channel=0, frequency=1.0)
    with pytest.raises(ServerFailed, match=r"^unauthorized: 'link.batch' needs the role control"):
        link.batch([SET])
    assert probe.executed == []


def test_loopback_needs_no_token_and_may_show_one(server: LinkServer, probe: Probe) -> None:
    """A token that is shown counts, so that it can be tried where it is made."""
    assert Link(port=server.port).send(SET)["status"] == "success"
    watching = Link(port=server.port, link={"token": WATCH_TOKEN}).send(SET)
    assert refused(watching, WATCHING)
    wrong = Link(port=server.port, link={"token": "wrong"}).send(SET)
    assert refused(wrong, "this token is none of this server's")
    assert len(probe.executed) == 1


def test_without_a_token_file_a_token_has_no_effect(serve: Serve) -> None:
    """Clients may be given theirs before their server is."""
    link = Link(port=serve().port, link={"token": "any"})
    assert link.call("link.ping") is True


class Counter(Instrument):
    """Counts."""

    def __init__(self) -> None:
        self.value = 0

    @command
    def step(self) -> int:
        """Count."""
        self.value += 1
        return self.value


class Heater(Counter):
    """Counts too."""

    @command
    def heat(self) -> int:
        """Heat."""
        return self.step()


def test_a_role_on_one_instrument(serve: Serve, elsewhere: str, tmp_path: Path) -> None:
    """Whatever name the command goes by, alone or in a batch."""
    tokens = tmp_path / "tokens"
    tokens.write_text(f"lab {WATCH_TOKEN} watch oven=control\n")
    tokens.chmod(0o600)
    dds, oven = Counter(), Heater()
    server = serve({"dds": dds, "oven": oven}, host=elsewhere, token_file=str(tokens))
    link = Link(elsewhere, server.port, link={"token": WATCH_TOKEN})
    assert link.call("oven.step") == 1
    assert link.call("heat") == 2
    for name in ("dds.step", "step"):
        with pytest.raises(ServerFailed, match=r"^unauthorized: .* needs the role control"):
            link.call(name)
    assert link.batch([{"command_id": "oven.step"}])[0]["result"] == 3
    mixed = [{"command_id": "oven.step"}, {"command_id": "dds.step"}]
    with pytest.raises(ServerFailed, match=r"^unauthorized: requests\[1\]: 'dds.step' needs"):
        link.batch(mixed)
    codes = [reply.get("code") for reply in link.batch(mixed, "continue", check=False)]
    assert codes == [None, "unauthorized"]
    assert (dds.value, oven.value) == (0, 4)
    assert link.call("link.status")["roles"] == {"dds": "watch", "oven": "control"}


@pytest.mark.parametrize(
    ("roles", "may", "may_not"),
    [("watch oven=control", "oven", "dds"), ("control oven=watch", "dds", "oven")],
)
def test_a_role_on_one_instrument_holds_for_its_lease_and_its_hardware(
    serve: Serve, elsewhere: str, tmp_path: Path, roles: str, may: str, may_not: str
) -> None:
    """And for the end of its commands; who has another one's lease can do nothing with it."""
    tokens = tmp_path / "tokens"
    tokens.write_text(f"lab {WATCH_TOKEN} {roles}\n")
    tokens.chmod(0o600)
    probes = {"dds": Probe(), "oven": Probe()}
    server = serve(probes, host=["127.0.0.1", elsewhere], token_file=str(tokens))
    near, far = Link(port=server.port), Link(elsewhere, server.port, link={"token": WATCH_TOKEN})

    def refuses(command: str, **parameters: Any) -> None:
        with pytest.raises(ServerFailed, match=f"needs the role control on {may_not}, and this"):
            far.call(command, **parameters)

    wanted = {"owner": "Anna", "seconds": 60.0}
    lease = far.call("link.acquire", instrument=may, **wanted)["lease"]
    far.call("link.renew", lease=lease)
    far.call("link.release", lease=lease)
    with pytest.raises(ServerFailed, match="has nothing that could be opened again"):
        far.call("link.reopen", instrument=may)
    refuses("link.acquire", instrument=may_not, force=True, **wanted)
    refuses("link.reopen", instrument=may_not)
    lease = near.call("link.acquire", instrument=may_not, **wanted)["lease"]
    refuses("link.renew", lease=lease)
    refuses("link.release", lease=lease)
    near.call("link.release", lease=lease)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(near.send, {"command_id": f"{may_not}.wait", "link": {"id": "w1"}})
        until(probes[may_not].started.is_set)
        refuses("link.abort", id="w1")
        probes[may_not].go_on.set()
        waiting.result()


def test_a_token_in_eot_text(server: LinkServer, probe: Probe) -> None:
    """Beside the parameters, under the link's one reserved name."""
    bare = b'{"set_frequency": {"channel": 0, "frequency": 80e6}}\x04'
    assert ask_from(server, bare) == f"Error: {WANTED}\r\n".encode()
    link = json.dumps({"token": CONTROL_TOKEN}).encode()
    with_token = bare.replace(b"80e6}", b'80e6, "link": %s}' % link)
    assert ask_from(server, with_token) == b"O.k.\r\n"
    assert probe.executed == [(0, 80e6)]


def test_a_token_in_comet(server: LinkServer, probe: Probe) -> None:
    """Beside action and value."""
    message = {"action": "set_frequency", "value": {"channel": 0, "frequency": 80e6}}
    reply = comet_content(ask_from(server, comet_frame(message)))
    assert reply == {"result": f"Error: {WANTED}"}
    message["link"] = {"token": CONTROL_TOKEN}
    reply = comet_content(ask_from(server, comet_frame(message)))
    assert reply == {"result": {"frequency": 80e6}}
    assert probe.executed == [(0, 80e6)]


def test_a_token_in_websocket(server: LinkServer, elsewhere: str, probe: Probe) -> None:
    """In the handshake's header, or in a message; it holds from there on."""
    address = f"ws://{elsewhere}:{server.port}/"
    message = json.dumps(SET)
    with connect(address, proxy=None) as client:
        client.send(message)
        assert refused(json.loads(client.recv(PATIENCE)), WANTED)
        client.send(json_request({"command_id": "link.ping"}, CONTROL_TOKEN))
        assert json.loads(client.recv(PATIENCE))["status"] == "success"
        client.send(message)
        assert json.loads(client.recv(PATIENCE))["status"] == "success"
    for scheme in ("Bearer", "bearer"):
        headers = {"Authorization": f"{scheme} {CONTROL_TOKEN}"}
        with connect(address, additional_headers=headers, proxy=None) as client:
            client.send("{")
            assert json.loads(client.recv(PATIENCE))["code"] == "malformed"
            for _ in range(2):
                client.send(message)
                assert json.loads(client.recv(PATIENCE))["status"] == "success"
    headers = {"Authorization": f"Basic {CONTROL_TOKEN}"}
    with connect(address, additional_headers=headers, proxy=None) as client:
        client.send(message)
        assert refused(json.loads(client.recv(PATIENCE)), WANTED)
    assert len(probe.executed) == 5


def test_ndsp_has_no_place_for_a_token(
    server: LinkServer, caplog: pytest.LogCaptureFixture
) -> None:
    """From elsewhere it is closed without a word; on this computer it goes on."""
    assert ask_from(server, b"ARTIQ pc_rpc\ndds\n") == b""
    assert caplog.messages[-1].endswith("unauthorized: ndsp carries no token: it needs TLS here")
    assert ndsp_call(server, "ping", "127.0.0.1") == {"status": "ok", "ret": True}


# --- the end of the server

NEEDS_CONTROL = "'link.stop' needs the role control, and this token may only watch"


def test_ndsp_ends_an_open_server_from_this_computer_alone(serve: Serve, elsewhere: str) -> None:
    server = serve(host=["127.0.0.1", elsewhere], open_to_all=True)
    answer = ndsp_call(server, "terminate", elsewhere)
    assert answer["exception"]["class"] == "PermissionError"
    assert answer["exception"]["message"] == "who is let in without a proof cannot end the server"
    assert ndsp_call(server, "ping", elsewhere) == {"status": "ok", "ret": True}
    assert ndsp_call(server, "terminate", "127.0.0.1") == {"status": "ok", "ret": None}
    server_has_ended()


@pytest.mark.parametrize(
    ("roles", "sentence"),
    [
        ("watch", NEEDS_CONTROL),
        (
            "watch oven=control",
            NEEDS_CONTROL,
        ),
        (
            "control oven=watch",
            "this token cannot end the server: that needs the role control on every instrument",
        ),
        ("control", None),
    ],
)
def test_link_stop_needs_control_on_everything(
    serve: Serve, elsewhere: str, tmp_path: Path, roles: str, sentence: str | None
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"lab {WATCH_TOKEN} {roles}\n")
    tokens.chmod(0o600)
    server = serve({"dds": Probe(), "oven": Probe()}, host=elsewhere, token_file=str(tokens))
    reply = Link(elsewhere, server.port, link={"token": WATCH_TOKEN}).send(
        {"command_id": "link.stop"}
    )
    assert reply.get("error") == sentence
    if sentence is None:
        server_has_ended()
    else:
        assert reply["code"] == "unauthorized"
        assert not server._stopping.is_set()


def test_link_stop_ends_an_open_server_from_this_computer_alone(
    serve: Serve, elsewhere: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says who it was."""
    server = serve(host=["127.0.0.1", elsewhere], open_to_all=True)
    with pytest.raises(ServerFailed, match="let in without a proof cannot end the server"):
        Link(elsewhere, server.port).call("link.stop")
    assert not server._stopping.is_set()
    caplog.clear()
    assert Link(port=server.port).call("link.stop", at_once=True) is None
    server_has_ended()
    assert re.fullmatch(
        r"127\.0\.0\.1:\d+ \(json\): asked the server to stop, "
        "without waiting for running commands",
        caplog.messages[0],
    )


@pytest.mark.parametrize(
    ("token", "ends"), [(None, False), (WATCH_TOKEN, False), (CONTROL_TOKEN, True)]
)
def test_quit_needs_control(
    serve: Serve, elsewhere: str, token_file: str, token: str | None, ends: bool
) -> None:
    """It ends the connection for everyone."""
    server = serve(host=elsewhere, token_file=token_file, quit_stops=True)
    with connect(f"ws://{elsewhere}:{server.port}/", proxy=None) as client:
        client.send(json_request({"command_id": "link.ping"}, token))
        client.recv(PATIENCE)
        client.send("quit")
        assert client.recv(PATIENCE) == "bye"
    if ends:
        server_has_ended()
    else:
        until(lambda: not server.connections)
        assert not server._stopping.is_set()


def test_quit_may_come_first(serve: Serve, elsewhere: str, token_file: str) -> None:
    """The token of the handshake holds for it."""
    server = serve(host=elsewhere, token_file=token_file, quit_stops=True)
    headers = {"Authorization": f"Bearer {CONTROL_TOKEN}"}
    address = f"ws://{elsewhere}:{server.port}/"
    with connect(address, additional_headers=headers, proxy=None) as client:
        client.send("quit")
        assert client.recv(PATIENCE) == "bye"
    server_has_ended()


def test_quit_from_elsewhere_needs_a_proof(serve: Serve, elsewhere: str) -> None:
    """An open server is not ended by everyone."""
    server = serve(host=elsewhere, open_to_all=True, quit_stops=True)
    with connect(f"ws://{elsewhere}:{server.port}/", proxy=None) as client:
        client.send("quit")
        assert client.recv(PATIENCE) == "bye"
    until(lambda: not server.connections)
    assert not server._stopping.is_set()


def test_with_a_certificate_ndsp_may_do_all(
    serve: Serve, certificates: Certificates, elsewhere: str
) -> None:
    server = serve(host=elsewhere, ssl=certificates.of_server)
    files = certificates.of()
    assert ndsp_call(server, "ping", elsewhere, files) == {"status": "ok", "ret": True}
    assert ndsp_call(server, "terminate", elsewhere, files) == {"status": "ok", "ret": None}
    server_has_ended()


def test_with_a_certificate_a_token_says_what_is_allowed(
    serve: Serve, certificates: Certificates, elsewhere: str, token_file: str
) -> None:
    """Without one, all is."""
    server = serve(host=elsewhere, ssl=certificates.of_server, token_file=token_file)
    assert Link(elsewhere, server.port, ssl=certificates.of()).send(SET)["status"] == "success"
    link = Link(elsewhere, server.port, link={"token": WATCH_TOKEN}, ssl=certificates.of())
    assert refused(link.send(SET), WATCHING)


def test_a_guard_comes_before_the_route(server: LinkServer) -> None:
    """Who is not let in learns nothing, not even which commands there are."""
    for name in ("set_frequency", "nothing", "link.status"):
        reply = json.loads(ask_from(server, json_request({"command_id": name})))
        assert refused(reply, WANTED)


def test_a_repeated_id_tells_nothing_to_who_is_not_let_in(server: LinkServer) -> None:
    """The journal is asked behind the guard: an id is no proof."""
    request = {**SET, "link": {"id": "known"}}
    assert Link(port=server.port).send(request)["status"] == "success"
    assert refused(json.loads(ask_from(server, json_request(SET, id="known"))), WANTED)
    assert refused(
        json.loads(ask_from(server, json_request(SET, WATCH_TOKEN, id="known"))), WATCHING
    )
