// Makes the page's timers and its wall clock run `times` faster, so that minutes that the SDK waits are seconds here.
//
// What the SDK measures against its clock stays in proportion: intervals, time-outs, the age of the last frame. Chromium's
// own clocks (ICE, DTLS, RTP) and the network are as slow as ever. `asked` keeps what the SDK wanted to wait, in ms.
"use strict";

window.clock = {
  asked: [],

  faster(times) {
    const now = Date.now.bind(Date);
    const started = now();
    Date.now = () => Math.round(started + (now() - started) * times);
    for (const name of ["setTimeout", "setInterval"]) {
      const real = window[name].bind(window);
      window[name] = (work, delay = 0, ...rest) => {
        if (name === "setTimeout") this.asked.push(delay);
        return real(work, delay / times, ...rest);
      };
    }
  },
};
