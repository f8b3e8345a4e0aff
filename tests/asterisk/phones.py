"""SIP phones and lines without sound: as much of RFC 3261 as it takes to ring, answer, refuse and transfer."""

import asyncio
import re
import secrets
from collections.abc import Callable

from msgspec import Struct, field

HOST = "127.0.0.1"
SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio {} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
)
REFUSALS = {"busy": 486, "down": 503}
Address = tuple[str, int]


class Message(Struct):
    """A SIP request or response: its first line, headers by lower-case name, body."""

    first: str
    headers: dict[str, list[str]]
    body: str

    @classmethod
    def read(cls, data: bytes) -> "Message":
        head, _, body = data.decode().partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        headers: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers.setdefault(name.strip().lower(), []).append(value.strip())
        return cls(first, headers, body)

    def header(self, name: str) -> str:
        return self.headers.get(name, [""])[0]

    @property
    def method(self) -> str:
        """Of a request its method, of a response the one it answers."""
        return self.header("cseq").split()[1]

    @property
    def status(self) -> int:
        return int(self.first.split()[1]) if self.first.startswith("SIP/") else 0


class Call(Struct, kw_only=True, eq=False):
    """One dialog. `state`: calling, ringing, talking, over; `refusal` is the status that ended it."""

    call_id: str
    ours: str
    theirs: str
    target: str
    incoming: bool
    state: str = "calling"
    refusal: int = 0
    invite: Message | None = None
    branch: str = ""
    cseq: int = 1
    referred: list[str] = field(default_factory=list)

    @property
    def peer(self) -> str:
        """The number the other side shows."""
        match = re.search(r"sip:([^@>;]+)@", self.theirs)
        return match[1] if match else ""


class Phone(asyncio.DatagramProtocol):
    """A phone of the office, or a line to the world. `on_ring`: what it does then, ring, answer, busy or down."""

    def __init__(self, user: str, pbx: Address) -> None:
        self.user = user
        self.pbx = pbx
        self.calls: list[Call] = []
        self.on_ring = "ring"
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None
        self._answers: dict[str, asyncio.Future[Message]] = {}

    async def open(self, port: int = 0) -> "Phone":
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(HOST, port))
        self.port = self._transport.get_extra_info("sockname")[1]
        return self

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # What a person does.

    async def register(self, seconds: int = 3600) -> None:
        who = f"<sip:{self.user}@{HOST}>"
        answer = await self._ask("REGISTER", f"sip:{HOST}:{self.pbx[1]}", who, f"Expires: {seconds}")
        assert answer.status == 200, answer.first

    def call(self, number: str, *, as_number: str = "") -> Call:
        """Dial; what becomes of it is the call's state."""
        shown = as_number or self.user
        call = Call(
            call_id=secrets.token_hex(8),
            ours=f'"{shown}" <sip:{shown}@{HOST}>;tag={secrets.token_hex(4)}',
            theirs=f"<sip:{number}@{HOST}:{self.pbx[1]}>",
            target=f"sip:{number}@{HOST}:{self.pbx[1]}",
            incoming=False,
            branch=_branch(),
        )
        self.calls.append(call)
        self._request("INVITE", call, f"X-Line: {self.user}", branch=call.branch, body=SDP.format(self.port + 1))
        return call

    def answer(self, call: Call | None = None) -> Call:
        call = call or self.ringing[0]
        call.state = "talking"
        self._reply(call.invite, 200, "OK", call, SDP.format(self.port + 1))
        return call

    def refuse(self, call: Call | None = None, status: int = 486) -> None:
        call = call or self.ringing[0]
        call.state, call.refusal = "over", status
        self._reply(call.invite, status, "Busy Here", call)

    def hang_up(self, call: Call | None = None) -> None:
        """End a call, or give one up that nobody has answered."""
        call = call or self.talking[0]
        if call.state == "talking":
            call.cseq += 1
            self._request("BYE", call)
        else:
            self._request("CANCEL", call, branch=call.branch, with_tag=False)
        call.state = "over"

    def transfer(self, number: str, call: Call | None = None) -> None:
        """Send the other side to a number and leave (blind transfer)."""
        call = call or self.talking[0]
        call.cseq += 1
        self._request("REFER", call, f"Refer-To: <sip:{number}@{HOST}>", f"Referred-By: <sip:{self.user}@{HOST}>")

    def join(self, call: Call, other: Call) -> None:
        """Connect the other sides of two of our calls and leave (attended transfer)."""
        replaced = f"{other.call_id}%3Bto-tag%3D{_tag(other.theirs)}%3Bfrom-tag%3D{_tag(other.ours)}"
        target = re.sub(r"[<>]", "", re.sub(r";tag=.*", "", other.theirs)).split(" ")[-1]
        call.cseq += 1
        refer_to = f"Refer-To: <{target}?Replaces={replaced}>"
        self._request("REFER", call, refer_to, f"Referred-By: <sip:{self.user}@{HOST}>")

    @property
    def ringing(self) -> list[Call]:
        return [call for call in self.calls if call.incoming and call.state == "ringing"]

    @property
    def talking(self) -> list[Call]:
        return [call for call in self.calls if call.state == "talking"]

    # What the wire does.

    def datagram_received(self, data: bytes, _: Address) -> None:
        if not data.strip():
            return
        message = Message.read(data)
        if message.status:
            self._on_response(message)
        else:
            handler: dict[str, Callable[[Message], None]] = {
                "INVITE": self._on_invite,
                "ACK": lambda _: None,
                "BYE": self._on_bye,
                "CANCEL": self._on_cancel,
            }
            handler.get(message.method, self._on_other)(message)

    def _on_response(self, message: Message) -> None:
        waiting = self._answers.pop(message.header("call-id"), None)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)
            return
        call = self._call(message)
        if call is None or message.method != "INVITE" or call.incoming:
            return
        if message.status >= 180:
            call.theirs = message.header("to")
        if message.status < 200:
            call.state = "ringing" if message.status in (180, 183) and call.state == "calling" else call.state
            return
        contact = re.search(r"<(sip:[^>]+)>", message.header("contact"))
        call.target = contact[1] if contact and message.status == 200 else call.target
        branch = _branch() if message.status == 200 else call.branch
        self._request("ACK", call, branch=branch, cseq=int(message.header("cseq").split()[0]))
        if message.status == 200:
            call.state = "talking" if call.state != "over" else "over"
        elif call.state != "over":
            call.state, call.refusal = "over", message.status

    def _on_invite(self, message: Message) -> None:
        call = self._call(message)
        if call is not None:
            if call.state == "talking":
                self._reply(message, 200, "OK", call, SDP.format(self.port + 1))
            return
        contact = re.search(r"<(sip:[^>]+)>", message.header("contact"))
        call = Call(
            call_id=message.header("call-id"),
            ours=f"{message.header('to')};tag={secrets.token_hex(4)}",
            theirs=message.header("from"),
            target=contact[1] if contact else "",
            incoming=True,
            state="ringing",
            invite=message,
        )
        self.calls.append(call)
        if self.on_ring in REFUSALS:
            self.refuse(call, REFUSALS[self.on_ring])
            return
        self._reply(message, 180, "Ringing", call)
        if self.on_ring == "answer":
            self.answer(call)

    def _on_bye(self, message: Message) -> None:
        call = self._call(message)
        self._reply(message, 200, "OK", call)
        if call is not None:
            call.state = "over"

    def _on_cancel(self, message: Message) -> None:
        call = self._call(message)
        self._reply(message, 200, "OK", call)
        if call is not None and call.state == "ringing":
            call.state = "over"
            self._reply(call.invite, 487, "Request Terminated", call)

    def _on_other(self, message: Message) -> None:
        call = self._call(message)
        if message.method == "NOTIFY" and call is not None:
            call.referred.append(message.body.strip())
        self._reply(message, 200, "OK", call)
        if call is not None and call.state == "talking" and message.body.startswith("SIP/2.0 200"):
            self.hang_up(call)

    def _call(self, message: Message) -> Call | None:
        return next((call for call in self.calls if call.call_id == message.header("call-id")), None)

    async def _ask(self, method: str, target: str, who: str, *more: str) -> Message:
        call_id = secrets.token_hex(8)
        answered = self._answers[call_id] = asyncio.get_running_loop().create_future()
        call = Call(
            call_id=call_id, ours=f"{who};tag={secrets.token_hex(4)}", theirs=who, target=target, incoming=False
        )
        self._request(method, call, *more)
        async with asyncio.timeout(5):
            message: Message = await answered
        return message

    def _request(
        self,
        method: str,
        call: Call,
        *more: str,
        branch: str = "",
        cseq: int = 0,
        body: str = "",
        with_tag: bool = True,
    ) -> None:
        theirs = call.theirs if with_tag else re.sub(r";tag=.*", "", call.theirs)
        lines = [
            f"{method} {call.target} SIP/2.0",
            f"Via: SIP/2.0/UDP {HOST}:{self.port};branch={branch or _branch()}",
            "Max-Forwards: 70",
            f"From: {call.ours}",
            f"To: {theirs}",
            f"Call-ID: {call.call_id}",
            f"CSeq: {cseq or call.cseq} {method}",
            f"Contact: <sip:{self.user}@{HOST}:{self.port}>",
            *more,
        ]
        self._send(lines, body)

    def _reply(self, message: Message | None, status: int, reason: str, call: Call | None, body: str = "") -> None:
        assert message is not None
        to = message.header("to")
        if ";tag=" not in to and call is not None:
            to = call.ours
        lines = [
            f"SIP/2.0 {status} {reason}",
            *(f"Via: {via}" for via in message.headers["via"]),
            f"From: {message.header('from')}",
            f"To: {to}",
            f"Call-ID: {message.header('call-id')}",
            f"CSeq: {message.header('cseq')}",
            f"Contact: <sip:{self.user}@{HOST}:{self.port}>",
        ]
        self._send(lines, body)

    def _send(self, lines: list[str], body: str) -> None:
        kind = ["Content-Type: application/sdp"] if body else []
        text = "\r\n".join([*lines, *kind, f"Content-Length: {len(body)}", "", body])
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(text.encode(), self.pbx)


def _branch() -> str:
    return f"z9hG4bK{secrets.token_hex(8)}"


def _tag(address: str) -> str:
    match = re.search(r";tag=([^;>]+)", address)
    return match[1] if match else ""
