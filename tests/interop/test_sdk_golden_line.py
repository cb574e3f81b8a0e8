"""The lab gateway is a fair stand-in, continued: how the SDK logs in, and what it does when the line is in trouble.

What takes the SDK a minute takes seconds here: its own clock is made to run faster (sdk/clock.js), nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from agent.lab.gateway import LabGateway
from agent.lab.routes import ECHO_NUMBER
from agent.lab.wire import CALL_ERROR
from tests.interop.sdk.golden import GUARD_S, LOOK_S, raw, received, repeats
from tests.interop.sdk.telephone import LOGIN, OTHER_LOGIN, Telephone

FASTER = 5.0  # a second of the network's is five of the SDK's: enough for an answer that it waits five seconds for
FAILURES = 5  # of the gateway's state, after which the SDK gives up
TRAFFIC_S = 0.2
# Of the SDK's time, as in the recording: it shifts the look for silence, every 3 s, against that for pings, every 35 s.
PAUSE = "new Promise((resolve) => setTimeout(resolve, 2000))"


async def test_a_refused_login(phone: Telephone, gateway: LabGateway) -> None:
    await phone.log_in(password="wrong", wait=False)
    await phone.page.until("phone.errors.includes(46001)")
    await repeats(gateway, "login_refused")


async def test_a_login_by_token(phone: Telephone, gateway: LabGateway) -> None:
    gateway.registrar.add_token("a-token", LOGIN)
    await phone.log_in(login=None, password=None, login_token="a-token")
    await repeats(gateway, "login_token")


async def test_an_anonymous_login(phone: Telephone, gateway: LabGateway) -> None:
    gateway.registrar.add_assistant("assistant-1", ECHO_NUMBER)
    target = {"target_type": "ai_assistant", "target_id": "assistant-1", "target_version_id": "v1"}
    await phone.log_in(login=None, password=None, anonymous_login={**target, "target_params": {"a": 1}})
    await repeats(gateway, "anonymous_login")


async def test_a_registration_that_takes_its_time(phone: Telephone, gateway: LabGateway) -> None:
    gateway.faults.gateway_states = ["NOREG", "UNREGED"]
    await phone.log_in()
    await repeats(gateway, "registered_late")


async def test_a_registration_that_is_told_later(phone: Telephone, gateway: LabGateway) -> None:
    gateway.faults.gateway_states = ["TRYING"]
    await phone.log_in(wait=False)
    await received(gateway, "gatewayState")
    await gateway.push_state(LOGIN, "REGED")
    await phone.ready(1)
    await repeats(gateway, "trying")


async def test_a_login_at_another_media_server(phone: Telephone, gateway: LabGateway) -> None:
    await phone.log_in(host=f"{gateway.url}?foo=1", rtcIp="1.2.3.4", rtcPort=99, skipTrailing=True)
    assert gateway.visits[-1].query == {"foo": "1", "rtc_ip": "1.2.3.4", "rtc_port": "99", "skip_trailing": "true"}
    await repeats(gateway, "registered_at_another_port")


async def test_a_gateway_that_fails_is_left_and_tried_again_until_it_is_given_up(
    phone: Telephone, gateway: LabGateway
) -> None:
    gateway.faults.gateway_states = ["FAIL_WAIT"] * FAILURES
    await phone.faster(FASTER)
    await phone.log_in(wait=False)
    await phone.page.until("phone.errors.includes(45003)")
    assert await phone.page.run("phone.readies") == 0
    assert [visit.query.get("skip_last_voice_sdk_id") for visit in gateway.visits] == [None, *["true"] * (FAILURES - 1)]
    await repeats(gateway, "gateway_fails")


async def test_a_gateway_that_is_gone_is_tried_again_after_longer_and_longer_pauses(
    phone: Telephone, gateway: LabGateway
) -> None:
    await phone.faster(FASTER)
    await phone.log_in()
    await repeats(gateway, "backoff")
    await gateway.stop_listening()
    await phone.page.run("clock.asked.length = 0")
    gateway.abort(LOGIN)
    pauses_s = "clock.asked.map((ms) => ms / 1000)"
    doubling = f"[1, 2, 4, 8].map((s) => {pauses_s}.find((asked) => asked >= s * 0.75 && asked <= s * 1.25))"
    await phone.page.until(f"{doubling}.every((found) => found)")
    found = await phone.page.run(doubling)
    assert sorted(found) == found
    await gateway.listen_again()
    await phone.ready(2)
    login = gateway.frames.received("login")[-1]["params"]
    assert login["reconnection"] is True
    assert login["sessid"]
    assert gateway.visits[-1].query["voice_sdk_id"].startswith("VSDK")


async def test_a_login_asked_for_again_and_a_held_call_attached(phone: Telephone, gateway: LabGateway) -> None:
    await phone.log_in()
    gateway.faults.authentication_required = 1
    await phone.ended(await phone.dial(ECHO_NUMBER))
    await phone.page.run("void phone.calls.get(phone.dial('x')).hangup()")  # before the INVITE: a BYE all the same
    await phone.page.until("phone.calls.size === 2 && phone.client.getActiveCalls().length === 0")
    call = await phone.echo_call()
    await phone.do(call, "hold")
    await phone.state(call, "held")
    gateway.faults.attach_calls = True
    gateway.abort(LOGIN)
    await phone.page.until(f"phone.was({call!r}, 'recovering')")
    await phone.state(call, "held")
    await phone.page.call("phone.client.disconnect")
    await repeats(gateway, "login_again_and_attach_held")


async def test_pings_silence_and_a_gateway_that_does_not_answer_them(phone: Telephone, gateway: LabGateway) -> None:
    await phone.faster(FASTER)
    await phone.log_in()
    await gateway.ping(LOGIN)
    await phone.page.run(PAUSE)
    for number, method in enumerate(("modify", "bye", "info")):
        await gateway.send_raw(LOGIN, raw(method, "zz", 77 + number))
    await pongs(gateway, 3)  # one ping for the gateway's, two because nothing was heard for 20 s
    gateway.faults.silent_methods.add("ping")
    await phone.ready(2)
    await repeats(gateway, "pings", with_pings=True)


async def test_a_punt_ends_all_without_a_word(phone: Telephone, gateway: LabGateway) -> None:
    await phone.log_in()
    call = await phone.echo_call()
    await gateway.punt(LOGIN)
    await phone.ended(call)
    await repeats(gateway, "punt")


async def test_a_punt_that_names_no_call_ends_also_a_call_that_was_to_be_kept(
    phone: Telephone, gateway: LabGateway
) -> None:
    await phone.log_in(keepConnectionAliveOnSocketClose=True)
    call = await phone.echo_call()
    await gateway.punt(LOGIN)
    await phone.ended(call)
    await repeats(gateway, "punt_kept")


async def test_the_far_end_of_a_punted_call_asks_for_another_path(
    phone: Telephone, other_phone: Telephone, gateway: LabGateway
) -> None:
    await phone.log_in()
    await other_phone.log_in(login=OTHER_LOGIN)
    call = await phone.dial(OTHER_LOGIN)
    taken = await other_phone.rings()
    await other_phone.answer(taken)
    await other_phone.talking(taken)
    await phone.state(call, "active")
    gateway.faults.error_codes["modify"] = CALL_ERROR
    await gateway.punt(LOGIN)
    await repeats(gateway, "punt_called", OTHER_LOGIN, with_pings=True)


async def test_a_punt_that_names_a_call_only_costs_the_socket_as_does_a_ping_without_answer(
    phone: Telephone, gateway: LabGateway
) -> None:
    await phone.faster(FASTER)
    await phone.log_in(keepConnectionAliveOnSocketClose=True)
    call = await phone.echo_call()
    await gateway.punt(LOGIN, call)
    await phone.ready(2)
    await phone.state(call, "active")
    gateway.faults.silent_methods.add("ping")
    async with traffic(gateway):  # which does not save it
        await gateway.ping(LOGIN)
        await phone.ready(3)
    await repeats(gateway, "punt_of_a_call_and_no_pong", with_pings=True)


async def pongs(gateway: LabGateway, count: int) -> None:
    """Wait until so many pings have been answered."""
    async with asyncio.timeout(GUARD_S):
        while sum("PONG" in str(frame.message.get("result")) for frame in gateway.frames) < count:
            await asyncio.sleep(LOOK_S)


@contextlib.asynccontextmanager
async def traffic(gateway: LabGateway) -> AsyncIterator[None]:
    """The gateway sends something every second of the SDK's."""

    async def send() -> None:
        while True:
            with contextlib.suppress(LookupError):  # not connected at the moment
                await gateway.notify(LOGIN, "info", {})
            await asyncio.sleep(TRAFFIC_S)

    sending = asyncio.create_task(send(), name="traffic")
    try:
        yield
    finally:
        sending.cancel()
        await asyncio.wait([sending])


async def test_a_hang_up_during_an_outage_is_never_told(phone: Telephone, gateway: LabGateway) -> None:
    await phone.log_in()
    call = await phone.echo_call()
    gateway.abort(LOGIN)
    await phone.page.until("!phone.client.connection.connected")
    await phone.page.run(f"void phone.calls.get({call!r}).hangup()")
    await phone.ended(call)
    await repeats(gateway, "hung_up_offline")
