// The telephone in the page: Telnyx's SDK as an application uses it, and what the tests ask of it.
//
// `phone.until(test)` is how tests wait: it resolves with the first true value of `test()`, which is asked again
// whenever the SDK says something, and every few milliseconds for what it says nothing about (statistics, sound).
"use strict";

const RATE_HZ = 48000;
const LOOK_MS = 20;
// Chromium would take out of a test signal whatever it holds for echo or noise.
const PLAIN_AUDIO = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
const openMicrophone = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = ({ audio, ...others }) =>
  openMicrophone({ ...others, audio: audio && { ...(audio === true ? {} : audio), ...PLAIN_AUDIO } });

const { TelnyxRTC } = TelnyxWebRTC;

class Phone {
  constructor() {
    this.readies = 0; // how often the line became ready
    this.errors = []; // codes of telnyx.error
    this.warnings = []; // codes of telnyx.warning
    this.events = []; // params of info and event
    this.calls = new Map(); // the newest call object of each callID
    this.states = new Map(); // callID -> every state it has been in, oldest first
    this.waiting = new Set();
    this.pieces = []; // Float32Array, what was heard
    this.frames = 0;
    setInterval(() => this.changed(), LOOK_MS);
  }

  // Resolves when the gateway has registered this login.
  async connect(options) {
    await this.start(options);
    await this.until(() => this.readies > 0);
  }

  // Log in, without waiting for what comes of it.
  async start(options) {
    this.client = new TelnyxRTC(options);
    this.client.on("telnyx.ready", () => this.changed(this.readies++));
    this.client.on("telnyx.error", (event) => this.changed(this.errors.push(event.error?.code ?? 0)));
    this.client.on("telnyx.warning", (event) => this.changed(this.warnings.push(event.warning.code)));
    this.client.on("telnyx.notification", (note) => this.notice(note));
    this.client.remoteElement = "speaker"; // Chromium decodes what a far end says only while an element plays it
    await this.client.connect();
  }

  notice(note) {
    if (note.type === "callUpdate") {
      this.calls.set(note.call.id, note.call);
      if (!this.states.has(note.call.id)) this.states.set(note.call.id, []);
      this.states.get(note.call.id).push(note.call.state);
    } else if (note.type === "event") {
      this.events.push(note);
    }
    this.changed();
  }

  // The callID; the INVITE is not out yet.
  dial(destinationNumber, options = {}) {
    const call = this.client.newCall({ destinationNumber, ...options });
    this.calls.set(call.id, call);
    return call.id;
  }

  // The callID of the first call that rings here.
  async rings() {
    const found = () => [...this.calls.values()].find((call) => call.direction === "inbound" && this.was(call.id, "ringing"));
    return (await this.until(found)).id;
  }

  was(id, state) {
    return (this.states.get(id) ?? []).includes(state);
  }

  // Why a call ended, once it has.
  async ended(id) {
    await this.until(() => this.was(id, "destroy"));
    const { cause, causeCode, sipCode, sipReason } = this.calls.get(id);
    return { cause, causeCode, sipCode: sipCode ?? null, sipReason: sipReason ?? null };
  }

  // Resolves when media can flow.
  connected(id) {
    return this.until(() => this.calls.get(id).peer?.instance?.connectionState === "connected");
  }

  // Record what this call's far end says from now on, in place of what was recorded before.
  async listen(id) {
    this.context ??= new AudioContext({ sampleRate: RATE_HZ });
    await this.context.resume();
    await (this.worklet ??= this.context.audioWorklet.addModule("recorder.js"));
    this.source?.disconnect();
    this.recorder?.port.close(); // it would go on with silence
    this.recorder = new AudioWorkletNode(this.context, "recorder", { numberOfOutputs: 0 });
    this.recorder.port.onmessage = (message) => {
      this.pieces.push(message.data);
      this.frames += message.data.length;
    };
    this.forget();
    const stream = await this.until(() => this.calls.get(id).remoteStream);
    this.source = this.context.createMediaStreamSource(stream);
    this.source.connect(this.recorder);
  }

  // What was heard up to now does not count.
  forget() {
    this.pieces = [];
    this.frames = 0;
  }

  // The newest `count` samples heard, int16 little endian in base64; fewer when there are not so many yet.
  heard(count) {
    let left = Math.min(count, this.frames);
    const samples = new Int16Array(left);
    for (let at = this.pieces.length - 1; at >= 0 && left > 0; at--) {
      const piece = this.pieces[at];
      for (let index = piece.length - 1; index >= 0 && left > 0; index--) {
        samples[--left] = Math.max(-32768, Math.min(32767, Math.round(piece[index] * 32767)));
      }
    }
    let text = "";
    for (const byte of new Uint8Array(samples.buffer)) text += String.fromCharCode(byte);
    return btoa(text);
  }

  // RTP statistics of a call: what came in, and the port it goes out from.
  async stats(id) {
    const connection = this.calls.get(id).peer?.instance;
    const report = connection ? await connection.getStats() : new Map();
    const all = [...report.values()];
    const inbound = all.find((entry) => entry.type === "inbound-rtp" && entry.kind === "audio");
    const transport = all.find((entry) => entry.type === "transport");
    const pair = transport && report.get(transport.selectedCandidatePairId);
    return {
      packetsReceived: inbound?.packetsReceived ?? 0,
      energy: inbound?.totalAudioEnergy ?? 0,
      localPort: pair ? report.get(pair.localCandidateId).port : null,
    };
  }

  // For the benchmark: [callID, when newCall() was called, when the first sound of the far end was decoded], in ms of
  // the machine's clock.
  async dialAndHear(destinationNumber) {
    const now = () => performance.timeOrigin + performance.now();
    const pressed = now();
    const id = this.dial(destinationNumber);
    while ((await this.stats(id)).energy === 0) await new Promise((resolve) => setTimeout(resolve));
    return [id, pressed, now()];
  }

  // Resolves when the call's audio goes out from another port than this one.
  async moved(id, port) {
    while ([null, port].includes((await this.stats(id)).localPort)) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }

  changed() {
    for (const look of [...this.waiting]) look();
  }

  until(test) {
    return new Promise((resolve, reject) => {
      const look = () => {
        try {
          const value = test();
          if (!value) return;
          resolve(value);
        } catch (error) {
          reject(error);
        }
        this.waiting.delete(look);
      };
      this.waiting.add(look);
      look();
    });
  }
}

const phone = new Phone();
