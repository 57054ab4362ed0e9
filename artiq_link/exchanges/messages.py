"""Request, Reply and Event: what a dialect carries, whatever its bytes look like."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Annotated, Any

import msgspec

from ..errors import ExchangeError, InvalidParameter
from ..instrument.data import MAX_NAME, Data, take_apart
from ..instrument.refusals import split_refusal

MAX_BUFFERS = 1024
"""Buffers of one request."""

_FEW = msgspec.Meta(max_length=MAX_BUFFERS)

Name = Annotated[str, msgspec.Meta(max_length=MAX_NAME)]


class LinkMembers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The members of the reserved key ``link``, all optional."""

    id: Name | None = None
    """The client's name for this exchange; the reply repeats it."""
    timeout: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """Seconds that the client will wait, from the request's first byte."""
    rid: int | None = None
    """ARTIQ's run identifier."""
    owner: Name | None = None
    """Who asks, for people: an experiment's name, or a person's."""
    lease: int | None = None
    """Number of the lease that the client holds."""
    boot: Name | None = None
    """The name of the server's start to which the client talked before; see `link.status`."""
    token: str | None = None
    """The client's proof that it may connect."""
    keep: bool = False
    """Whether the connection stays open after the reply."""
    buffers: bool | Annotated[list[Annotated[int, msgspec.Meta(ge=0)]], _FEW] = False
    """The lengths in bytes of the arrays that follow as bytes, or true; in both cases, whether
    arrays in the reply may be sent so."""

    def under(self, whole: LinkMembers) -> LinkMembers:
        """These members for a part of what has `whole`, with its owner, RID, lease and boot."""
        if (whole.owner, whole.rid, whole.lease, whole.boot) == (None, None, None, None):
            return self
        return msgspec.structs.replace(
            self,
            owner=whole.owner if self.owner is None else self.owner,
            rid=whole.rid if self.rid is None else self.rid,
            lease=whole.lease if self.lease is None else self.lease,
            boot=whole.boot if self.boot is None else self.boot,
        )


def _short(sentence: str) -> str:
    """A refusal of msgspec's without the middle of the client's text in it; its end says where."""
    return sentence if len(sentence) < 500 else f"{sentence[:100]}...{sentence[-100:]}"


class Request(msgspec.Struct, frozen=True):
    """What a client asks for: one command, or something that its wire had to refuse."""

    command_id: str
    """``command`` or ``instrument.command``; empty where none could be read."""
    parameters: dict[str, Any]
    """The command's parameters by name."""
    link: LinkMembers = LinkMembers()
    form: Any = None
    """How the reply is to be written; known to the request's wire alone."""
    ends: bool = False
    """Whether the connection ends after the reply."""
    refusal: ExchangeError | None = None
    """Why the wire could not take it; it is answered, and nothing is executed."""
    is_message: bool = False
    """Whether it names no command: the registry's fallback, if it has one, is asked."""

    @property
    def data(self) -> dict[str, Any]:
        """The request as `interact` gets it: ``command_id`` with the parameters beside it."""
        return {"command_id": self.command_id, **self.parameters}

    @classmethod
    def from_object(cls, message: Any, form: Any = None, *, keeps: bool = True) -> Request:
        """Read the parsed JSON object of one exchange.

        Raises `Malformed` where `message` is not an object, and `InvalidParameter` where it has no
        proper ``command_id``; otherwise as `from_data`.
        """
        return cls.from_data(take_apart(message), form, keeps=keeps)

    @classmethod
    def from_data(
        cls, data: Data, form: Any = None, *, keeps: bool = True, is_message: bool = False
    ) -> Request:
        """Make a request of its parts, as any dialect has them.

        Where the dialect does not keep connections by itself (`keeps`), they end unless
        ``link.keep`` says otherwise. A ``link`` that is wrong makes a request with a refusal.
        """
        command_id, parameters, members = data
        if members is None:
            return cls(command_id, parameters, form=form, ends=not keeps, is_message=is_message)
        try:
            link = msgspec.convert(members, LinkMembers)
        except msgspec.ValidationError as error:
            sentence, path = split_refusal(_short(str(error)))
            name = members.get("id") if isinstance(members, dict) else None
            is_name = isinstance(name, str) and len(name) <= MAX_NAME
            return cls(
                command_id,
                parameters,
                LinkMembers(id=name if is_name else None),
                form,
                not keeps,
                InvalidParameter(f"link{path}: {sentence}", f"link{path}"),
            )
        ends = not (keeps or link.keep)
        return cls(command_id, parameters, link, form, ends, is_message=is_message)

    @classmethod
    def refused(cls, error: ExchangeError, form: Any = None, *, ends: bool) -> Request:
        """What stands for bytes that are no request."""
        return cls("", {}, form=form, ends=ends, refusal=error)


class Reply(msgspec.Struct, frozen=True):
    """What a request comes to: a result or an error."""

    result: Any = None
    error: ExchangeError | None = None
    boot: str | None = None
    """The name of this start of the server, for who named one."""

    def to_object(self, request: Request | None = None) -> dict[str, Any]:
        """The reply as the object that goes over the JSON dialect."""
        message: dict[str, Any] = {"status": "success" if self.error is None else "fail"}
        if request is not None and (request.command_id or request.refusal is None):
            message["command_id"] = request.command_id
        if self.error is None:
            message["result"] = self.result
        else:
            message["code"] = self.error.code
            message["error"] = str(self.error)
            if self.error.where is not None:
                message["where"] = self.error.where
        if request is not None and request.link.id is not None:
            message["id"] = request.link.id
        if self.boot is not None:
            message["link"] = {"boot": self.boot}
        return message


class Event(msgspec.Struct, frozen=True):
    """What a client is told without having asked just now.

    A later event of the same `kind` and `subject` takes the place of one that a slow client has
    not taken, so `content` is whole in itself, or there is a `later`.
    """

    kind: str
    """``state``, ``progress``, ..."""
    subject: str | None
    """What it is about, such as an instrument's name."""
    content: dict[str, Any]
    later: Callable[[], Event] | None = None
    """Gives what takes its place for a client that can take it no sooner than then."""
    order: int = 0
    """Grows with the events of its kind and subject where an older one must not follow a newer
    one, which a `later` may have given before its turn."""
    _written: dict[Callable[[Event], bytes | None], bytes] = msgspec.field(default_factory=dict)

    def to_object(self) -> dict[str, Any]:
        """The event as the object that goes over the JSON dialect."""
        return {"event": self.kind, "instrument": self.subject, **self.content}

    def written(self, encode: Callable[[Event], bytes | None]) -> bytes:
        """What a dialect's `encode` makes of it; nothing where it has no words for it.

        It is written once for all clients, but by a method of one client's wire: there it hangs
        on what that client was told before.
        """
        if isinstance(encode, MethodType):
            return encode(self) or b""
        data = self._written.get(encode)
        if data is None:
            data = self._written[encode] = encode(self) or b""
        return data
