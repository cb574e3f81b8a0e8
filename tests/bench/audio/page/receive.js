// Receives calls and keeps what NetEQ gives the sound device, 10 ms by 10 ms, with the instant of each block.
"use strict";

class Call {
  constructor() {
    this.connection = new RTCPeerConnection();
    this.pieces = []; // Int16Array
    this.instants = []; // performance.now() of each piece
    this.connection.ontrack = ({ track }) => this.listen(track);
  }

  async answer(sdp) {
    const complete = new Promise((resolve) => {
      this.connection.onicegatheringstatechange = () => this.connection.iceGatheringState === "complete" && resolve();
    });
    await this.connection.setRemoteDescription({ type: "offer", sdp });
    await this.connection.setLocalDescription(await this.connection.createAnswer());
    await complete;
    return this.connection.localDescription.sdp;
  }

  async listen(track) {
    this.speaker = new Audio(); // Chromium decodes what a far end says only while an element plays it
    this.speaker.srcObject = new MediaStream([track]);
    this.speaker.play();
    const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 100 }).readable.getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      this.instants.push(performance.now());
      const samples = new Float32Array(value.numberOfFrames);
      value.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
      this.pieces.push(Int16Array.from(samples, (one) => Math.max(-32768, Math.min(32767, Math.round(one * 32767)))));
      this.rate = value.sampleRate;
      value.close();
    }
  }

  async stop() {
    const report = [...(await this.connection.getStats()).values()];
    const inbound = report.find((entry) => entry.type === "inbound-rtp" && entry.kind === "audio") ?? {};
    this.connection.close();
    this.speaker?.pause();
    const frames = this.pieces.map((piece) => piece.length);
    const samples = new Int16Array(frames.reduce((sum, one) => sum + one, 0));
    let at = 0;
    for (const piece of this.pieces) {
      samples.set(piece, at);
      at += piece.length;
    }
    const bytes = new Uint8Array(samples.buffer);
    let text = "";
    for (let from = 0; from < bytes.length; from += 0x8000) {
      text += String.fromCharCode(...bytes.subarray(from, from + 0x8000));
    }
    return { samples: btoa(text), instants: this.instants, frames, rate: this.rate ?? 0, inbound };
  }
}

// The driver waits for an object of this name.
const phone = {
  calls: new Map(),
  answer(id, sdp) {
    const call = new Call();
    this.calls.set(id, call);
    return call.answer(sdp);
  },
  async stop(id) {
    const result = await this.calls.get(id).stop();
    this.calls.delete(id);
    return result;
  },
};
