// Runs in the audio thread of the page: hands on what the call's speaker plays, block by block.
class Recorder extends AudioWorkletProcessor {
  process(inputs) {
    const samples = inputs[0][0]; // no channel at all while nothing is connected
    this.port.postMessage(samples ? samples.slice() : new Float32Array(128));
    return true;
  }
}

registerProcessor("recorder", Recorder);
