"""What the gateway says about calls, read from frames of a real FreeSWITCH and of the SDK's trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent.calls.reasons import Cause, EndReason, reason_of_bye
from agent.gateway.dialogs import MAX_OWED_BYES, Dialogs, OwedBye
from agent.gateway.events import (
    Header,
    IncomingCall,
    RemoteAnswer,
    RemoteBye,
    RemoteInfo,
    RemoteMedia,
    RemoteRinging,
    RingsAgain,
    TelnyxIds,
)
from agent.gateway.incoming import gateway_state_of, read_call_event, reattached_calls
from agent.gateway.jsonrpc import ProtocolError

Frames = Callable[[str], dict[str, Any]]


def read(method: str, params: dict[str, Any]) -> Any:
    return read_call_event("desk", method, params)


def test_the_telnyx_gateways_requests_become_events(frames: Frames) -> None:
    golden = {name: frame.get("params") for name, frame in frames("telnyx_gateway").items()}
    ids = TelnyxIds(
        golden["ringing"]["telnyx_session_id"],
        golden["ringing"]["telnyx_leg_id"],
        golden["ringing"]["telnyx_call_control_id"],
    )
    call_id = golden["ringing"]["callID"]
    assert read("ringing", golden["ringing"]) == RemoteRinging("desk", call_id, ids)
    assert read("answer", golden["answer"]) == RemoteAnswer("desk", call_id, "v=0\r\n", ids)
    assert read("media", golden["media"]) == RemoteMedia("desk", golden["media"]["callID"], "v=0\r\n")
    assert read("info", golden["info_message"]) == RemoteInfo("desk", golden["bye"]["callID"], text="hi")
    assert read("bye", golden["bye"]) == RemoteBye("desk", golden["bye"]["callID"], "NORMAL_CLEARING", 16)
    invite = golden["invite"]
    assert read("invite", invite) == IncomingCall(
        "desk",
        invite["callID"],
        "v=0\r\n",
        caller_name="Alice A",
        caller_number="+15550001",
        callee_number="bob",
        ids=TelnyxIds(invite["telnyx_session_id"], invite["telnyx_leg_id"], invite["telnyx_call_control_id"]),
        headers=(Header("X-A", "1"),),
        callee_name=invite["callee_id_name"],
    )
    assert invite["callee_id_name"]


def test_freeswitchs_requests_become_events(frames: Frames) -> None:
    golden = {name: frame["params"] for name, frame in frames("verto_gateway").items() if "params" in frame}
    assert read("answer", golden["answer"]) == RemoteAnswer("desk", golden["answer"]["callID"], "v=0\r\n")
    assert read("media", golden["media"]) == RemoteMedia("desk", golden["media"]["callID"], "v=0\r\n")
    bye = read("bye", golden["bye_busy"])
    assert bye == RemoteBye("desk", golden["bye_busy"]["callID"], "USER_BUSY", 17)
    assert reason_of_bye(bye.cause_code, bye.sip_code, answered=False) is EndReason.BUSY
    invite = read("invite", golden["invite"])
    assert (invite.caller_name, invite.caller_number, invite.callee_number) == ("Ref 1000", "1000", "1001")


def test_a_bye_of_the_telephone_network_keeps_every_field() -> None:
    event = read(
        "bye",
        {
            "callID": "c",
            "cause": "USER_BUSY",
            "causeCode": "17",
            "sipCode": 486,
            "sipReason": "Busy Here",
            "dialogParams": {"custom_headers": [{"name": "X-Why", "value": "lunch"}]},
            "client_state": "c3RhdGU=",
        },
    )
    assert event == RemoteBye("desk", "c", "USER_BUSY", 17, 486, "Busy Here", (Header("X-Why", "lunch"),), "c3RhdGU=")


def test_the_other_spelling_of_the_client_state_is_read_as_well() -> None:
    assert read("bye", {"callID": "c", "clientState": "c3RhdGU="}).client_state == "c3RhdGU="
    assert read("bye", {"callID": "c", "client_state": "", "clientState": 5}).client_state is None


def test_texts_for_people_are_cut_to_one_clean_line() -> None:
    event = read("invite", {"callID": "c", "sdp": "v=0", "caller_id_name": "Eve\r\n\x1b[31m\ud800" + "x" * 999})
    assert event.caller_name.startswith("Eve   [31m x")
    assert len(event.caller_name) <= 256


@pytest.mark.parametrize("call_id", [None, 5, "", "a b", "x" * 129, "tür", "a\n", ["c"]])
@pytest.mark.parametrize("method", ["ringing", "media", "answer", "invite", "bye", "info"])
def test_a_request_without_a_usable_call_id_is_refused(method: str, call_id: Any) -> None:
    with pytest.raises(ProtocolError, match=f"{method}: params.callID"):
        read(method, {"callID": call_id, "sdp": "v=0"})


@pytest.mark.parametrize("sdp", [5, "", "hello", {"sdp": "v=0"}])
@pytest.mark.parametrize("method", ["media", "answer", "invite"])
def test_an_sdp_that_is_none_is_refused(method: str, sdp: Any) -> None:
    with pytest.raises(ProtocolError, match=f"{method}: params.sdp must be an SDP text"):
        read(method, {"callID": "c", "sdp": sdp})


def test_only_an_answer_may_come_without_sdp() -> None:
    assert read("answer", {"callID": "c"}) == RemoteAnswer("desk", "c", None)
    for method in ("media", "invite"):
        with pytest.raises(ProtocolError, match=r"params\.sdp"):
            read(method, {"callID": "c"})


def test_odd_optional_fields_are_left_out() -> None:
    event = read(
        "bye",
        {
            "callID": "c",
            "cause": ["x"],
            "causeCode": True,
            "sipCode": -3,
            "sipReason": 5,
            "dialogParams": {"custom_headers": [None, {"name": 1}, {"name": "X"}, {"name": "A", "value": "b"}]},
        },
    )
    assert event == RemoteBye("desk", "c", headers=(Header("A", "b"),))
    assert read("info", {"callID": "c", "dtmf": "5; drop", "msg": "hi"}) == RemoteInfo("desk", "c")
    assert read("info", {"callID": "c", "dtmf": "*1"}).dtmf == "*1"


def test_the_list_of_reattached_calls_may_be_unusable() -> None:
    assert reattached_calls({"reattached_sessions": ["a", 5, "b"]}) == {"a", "b"}
    assert reattached_calls({"reattached_sessions": []}) == frozenset()
    assert reattached_calls({}) is None
    assert reattached_calls({"reattached_sessions": "a"}) is None


def test_the_gateway_state_is_read_from_params(frames: Frames) -> None:
    assert gateway_state_of(frames("telnyx_gateway")["gateway_state_push"]["params"]) == "REGED"
    assert gateway_state_of(frames("telnyx_gateway")["gateway_state_result"]["result"]["params"]) == "REGED"
    assert gateway_state_of({"state": 5}) is None


def test_a_dialog_lives_from_its_start_to_the_bye() -> None:
    dialogs = Dialogs()
    dialogs.start("a")
    assert dialogs.take_in(RemoteRinging("desk", "a")) == RemoteRinging("desk", "a")
    assert dialogs.take_in(RemoteRinging("desk", "b")) is None
    assert dialogs.live == {"a"}
    assert dialogs.take_in(RemoteBye("desk", "a")) == RemoteBye("desk", "a")
    assert dialogs.live == frozenset()
    assert dialogs.take_in(RemoteBye("desk", "a")) is None


def test_the_ids_of_a_call_are_added_up_never_cleared() -> None:
    dialogs = Dialogs()
    dialog = dialogs.start("a")
    dialogs.take_in(RemoteRinging("desk", "a", TelnyxIds("s", "l")))
    dialogs.take_in(RemoteAnswer("desk", "a", "v=0", TelnyxIds(None, None, "c")))
    assert dialog.ids == TelnyxIds("s", "l", "c")


def test_a_second_invite_for_a_live_call_is_a_re_offer() -> None:
    dialogs = Dialogs()
    assert dialogs.take_in(IncomingCall("desk", "a", "v=0")) is not None
    with pytest.raises(ProtocolError, match="not renegotiated"):
        dialogs.take_in(IncomingCall("desk", "a", "v=0"))
    assert dialogs.live == {"a"}


def test_after_a_reconnect_a_call_without_an_answer_may_ring_again_once() -> None:
    dialogs = Dialogs()
    dialogs.take_in(IncomingCall("desk", "a", "v=0"))
    dialogs.start("placed")
    dialogs.connection_lost()
    assert dialogs.take_in(IncomingCall("desk", "a", "v=1", ids=TelnyxIds("s"))) == RingsAgain("desk", "a", "v=1")
    assert dialogs.get("a").ids == TelnyxIds("s")
    for call_id in ("a", "placed"):
        with pytest.raises(ProtocolError, match="not renegotiated"):
            dialogs.take_in(IncomingCall("desk", call_id, "v=2"))


def test_an_answered_call_does_not_ring_again() -> None:
    dialogs = Dialogs()
    dialogs.take_in(IncomingCall("desk", "a", "v=0"))
    dialogs.get("a").answered = True
    dialogs.connection_lost()
    with pytest.raises(ProtocolError, match="not renegotiated"):
        dialogs.take_in(IncomingCall("desk", "a", "v=0"))


def test_a_call_that_was_turned_away_does_not_ring_again_before_the_gateway_has_heard_of_it() -> None:
    dialogs = Dialogs()
    dialogs.take_in(IncomingCall("desk", "a", "v=0"))
    dialogs.end("a")
    dialogs.owe_bye(OwedBye(dialogs.get("a"), Cause("CALL_REJECTED", 21), None))
    assert dialogs.take_in(IncomingCall("desk", "a", "v=0")) is None
    assert dialogs.live == frozenset()
    dialogs.bye_answered("a")
    assert dialogs.take_in(IncomingCall("desk", "a", "v=0")) is not None


def test_owed_byes_are_bounded_and_the_oldest_goes() -> None:
    dialogs = Dialogs()
    for number in range(MAX_OWED_BYES + 1):
        dialogs.owe_bye(OwedBye(dialogs.start(str(number)), Cause("NORMAL_CLEARING", 16), None))
    assert len(dialogs.owed) == MAX_OWED_BYES
    assert dialogs.owed[0].dialog.call_id == "1"
    dialogs.bye_answered("1")
    assert dialogs.owed[0].dialog.call_id == "2"
