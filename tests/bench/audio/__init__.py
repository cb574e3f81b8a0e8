"""`make bench-audio`: speech quality, delay and cost of a call beside stock aiortc, Chromium and baresip."""
