"""Headless Chromium for the tests: one process for all, a fresh profile (browser context) for each page."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import http.server
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.interop.sdk.cdp import Cdp, CdpError, Event

FOLDER = Path(__file__).parent
BUILD = Path(__file__).parents[3] / "build" / "interop"
BUNDLE = BUILD / "node_modules" / "@telnyx" / "webrtc" / "lib" / "bundle.js"
START_S = 60.0  # a cold start of Chromium on a busy machine
STOP_S = 10.0
LOOK_S = 0.05

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # it may run as root, where the sandbox cannot
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    # Loopback only: every name but the address of this machine is unknown, and nothing happens in the background.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-pings",
    # Sound without hardware, permission or a click. Chromium's own name for hiding host addresses is mDNS.
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns,MediaRouter,OptimizationHints,Translate",
    # A page nobody looks at keeps its timers.
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
)

Samples = npt.NDArray[np.int16]


def missing() -> str | None:
    """What this machine lacks to run the SDK; None when it can."""
    if shutil.which("chromium") is None:
        return "chromium is not installed: apt-get install chromium"
    if not BUNDLE.exists() and shutil.which("npm") is None:
        return "npm is not installed: apt-get install npm"
    return None


def install_sdk() -> None:
    """Have npm fetch the SDK into build/interop, as the lock file beside this one says, unless it is there."""
    BUILD.mkdir(parents=True, exist_ok=True)
    installed = BUILD / "package-lock.json"
    wanted = (FOLDER / "package-lock.json").read_bytes()
    if BUNDLE.exists() and installed.exists() and installed.read_bytes() == wanted:
        return
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(FOLDER / name, BUILD / name)
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(command, cwd=BUILD, capture_output=True, text=True, check=False)
    if done.returncode:
        installed.unlink()  # the next run tries again
        raise RuntimeError(f"npm could not install the SDK: {done.stderr.strip() or done.stdout.strip()}")


class _Files(http.server.SimpleHTTPRequestHandler):
    """The page's own files, and the SDK's under /sdk/."""

    def translate_path(self, path: str) -> str:
        return str(BUNDLE) if path.partition("?")[0] == "/sdk/bundle.js" else super().translate_path(path)

    def log_message(self, *_: Any) -> None:
        """A test's output is not an access log."""


@contextlib.contextmanager
def page_server(folder: Path = FOLDER) -> Iterator[str]:
    """Serve the page in `folder` on loopback; its address."""
    handler = functools.partial(_Files, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="page server")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/index.html"
        finally:
            server.shutdown()
            thread.join()


class Browser:
    """The running Chromium. Its microphone hears the same WAV file, over and over, in every page."""

    def __init__(self, microphone: Path, page_url: str) -> None:
        self._page_url = page_url
        self._profile = Path(tempfile.mkdtemp(prefix="callpoint-chromium-"))
        self._log = (self._profile / "chromium.log").open("wb")
        command = [
            "chromium", *FLAGS, "--remote-debugging-port=0", f"--user-data-dir={self._profile}",
            f"--use-file-for-fake-audio-capture={microphone}", "about:blank",
        ]  # fmt: skip
        # A session of its own: its many processes are ended as one group.
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, start_new_session=True
        )
        self._url = self._wait_url()

    def _wait_url(self) -> str:
        """The debugging socket's address, which Chromium writes into its profile when it listens."""
        file = self._profile / "DevToolsActivePort"
        give_up_s = time.monotonic() + START_S
        while time.monotonic() < give_up_s and self._process.poll() is None:
            with contextlib.suppress(FileNotFoundError, ValueError):
                port, path = file.read_text().split()
                return f"ws://127.0.0.1:{port}{path}"
            time.sleep(LOOK_S)
        log = (self._profile / "chromium.log").read_text(errors="replace")
        self.close()
        raise RuntimeError(f"chromium did not start:\n{log[-2000:]}")

    def close(self) -> None:
        """End all processes of this browser, and forget its profile."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # helpers that outlive the main process
        self._process.wait()
        self._log.close()
        shutil.rmtree(self._profile, ignore_errors=True)

    @contextlib.asynccontextmanager
    async def page(self) -> AsyncIterator[Page]:
        """A fresh page with the SDK loaded, in a profile of its own."""
        console: list[str] = []

        def note(event: Event) -> None:
            if event["method"] == "Runtime.consoleAPICalled" and event["params"]["type"] in ("error", "warning"):
                console.append(" ".join(str(arg.get("value", "")) for arg in event["params"]["args"])[:300])
            elif event["method"] == "Runtime.exceptionThrown":
                console.append(event["params"]["exceptionDetails"]["text"])

        async with Cdp(self._url, note) as cdp:
            context = (await cdp.command("Target.createBrowserContext"))["browserContextId"]
            try:
                target = {"url": "about:blank", "browserContextId": context}
                target_id = (await cdp.command("Target.createTarget", target))["targetId"]
                attach = {"targetId": target_id, "flatten": True}
                page = Page(cdp, (await cdp.command("Target.attachToTarget", attach))["sessionId"], console)
                await page.open(self._page_url)
                yield page
            finally:
                await cdp.command("Target.disposeBrowserContext", {"browserContextId": context})


class Page:
    """One page. `console` holds its errors and warnings."""

    def __init__(self, cdp: Cdp, session: str, console: list[str]) -> None:
        self._cdp = cdp
        self._session = session
        self.console = console

    async def open(self, url: str) -> None:
        await self._cdp.command("Runtime.enable", session=self._session)
        await self._cdp.command("Page.enable", session=self._session)
        await self._cdp.command("Page.navigate", {"url": url}, self._session)
        while not await self.run("typeof phone === 'object' && document.readyState === 'complete'"):
            await asyncio.sleep(LOOK_S)

    async def run(self, expression: str) -> Any:
        """The value of an expression, awaited when it is a promise. Raises `CdpError` with what it threw."""
        params = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        try:
            result = await self._cdp.command("Runtime.evaluate", params, self._session)
        except CdpError as error:
            raise CdpError(f"{error}\nconsole: {self.console[-10:]}") from None
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise CdpError(f"{expression[:200]}: {details.get('exception', {}).get('description', details['text'])}")
        return result["result"].get("value")

    async def call(self, function: str, *arguments: Any) -> Any:
        """`function` of the page with these arguments, e.g. call("phone.dial", "+15550100")."""
        return await self.run(f"{function}({', '.join(json.dumps(argument) for argument in arguments)})")

    async def until(self, test: str) -> Any:
        """The first true value of this expression."""
        return await self.run(f"phone.until(() => {test})")

    async def heard(self, count: int) -> Samples:
        """The newest samples of the call that `phone.listen` listens to: int16 mono 48 kHz."""
        return np.frombuffer(base64.b64decode(await self.call("phone.heard", count)), dtype=np.int16)
