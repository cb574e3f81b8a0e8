/* What a call costs at the least: one end in C, one thread, one wake-up a packet.
 *
 *     c_floor LOCAL_PORT REMOTE_PORT
 *
 * ALSA "mic" -> Opus (mono, 32 kbit/s, complexity 5, in-band FEC for 5 %) -> SRTP -> UDP and back to ALSA "speaker".
 * Not in it: signalling, ICE, DTLS, RTCP, a jitter buffer that adapts, statistics, drift, anything that can go wrong.
 * Says "connected" with the first packet that it decodes; ends with its standard input.
 */
#include <alsa/asoundlib.h>
#include <arpa/inet.h>
#include <opus/opus.h>
#include <poll.h>
#include <srtp2/srtp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RATE 48000
#define FRAME 960
#define FILL_FRAMES 960
#define MAX_PACKET 1500

static void fail(const char *what) {
    fprintf(stderr, "c_floor: %s\n", what);
    exit(1);
}

static snd_pcm_t *open_pcm(const char *name, snd_pcm_stream_t stream, int mode) {
    snd_pcm_t *pcm;
    snd_pcm_hw_params_t *params;
    snd_pcm_uframes_t period = FRAME, buffer = 4 * FRAME;
    unsigned rate = RATE;
    snd_pcm_hw_params_alloca(&params);
    if (snd_pcm_open(&pcm, name, stream, mode) < 0) fail("no such sound device");
    snd_pcm_hw_params_any(pcm, params);
    snd_pcm_hw_params_set_access(pcm, params, SND_PCM_ACCESS_RW_INTERLEAVED);
    snd_pcm_hw_params_set_format(pcm, params, SND_PCM_FORMAT_S16_LE);
    snd_pcm_hw_params_set_channels(pcm, params, 1);
    snd_pcm_hw_params_set_rate_near(pcm, params, &rate, NULL);
    snd_pcm_hw_params_set_period_size_near(pcm, params, &period, NULL);
    snd_pcm_hw_params_set_buffer_size_near(pcm, params, &buffer);
    if (snd_pcm_hw_params(pcm, params) < 0) fail("the sound device refuses its settings");
    return pcm;
}

static srtp_t srtp_session(srtp_ssrc_type_t direction) {
    static unsigned char key[30]; /* zeros: nobody is to be kept from hearing a benchmark */
    srtp_policy_t policy;
    srtp_t session;
    memset(&policy, 0, sizeof policy);
    srtp_crypto_policy_set_rtp_default(&policy.rtp);
    srtp_crypto_policy_set_rtcp_default(&policy.rtcp);
    policy.ssrc.type = direction;
    policy.key = key;
    policy.window_size = 128;
    if (srtp_create(&session, &policy)) fail("no SRTP session");
    return session;
}

static OpusEncoder *encoder(void) {
    int error;
    OpusEncoder *made = opus_encoder_create(RATE, 1, OPUS_APPLICATION_VOIP, &error);
    if (error) fail("no encoder");
    opus_encoder_ctl(made, OPUS_SET_BITRATE(32000));
    opus_encoder_ctl(made, OPUS_SET_COMPLEXITY(5));
    opus_encoder_ctl(made, OPUS_SET_INBAND_FEC(1));
    opus_encoder_ctl(made, OPUS_SET_PACKET_LOSS_PERC(5));
    opus_encoder_ctl(made, OPUS_SET_SIGNAL(OPUS_SIGNAL_VOICE));
    return made;
}

static int udp_socket(int local, int remote) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    address.sin_port = htons(local);
    if (bind(fd, (void *)&address, sizeof address)) fail("the port is taken");
    address.sin_port = htons(remote);
    connect(fd, (void *)&address, sizeof address);
    return fd;
}

int main(int argc, char **argv) {
    short sound[FRAME] = {0}, decoded[6 * FRAME];
    unsigned char packet[MAX_PACKET] = {0};
    unsigned short sequence = 1;
    unsigned timestamp = 0;
    int error, playing = 0, connected = 0;
    if (argc != 3) fail("usage: c_floor LOCAL_PORT REMOTE_PORT");
    srtp_init();
    srtp_t tx = srtp_session(ssrc_any_outbound), rx = srtp_session(ssrc_any_inbound);
    OpusEncoder *encode = encoder();
    OpusDecoder *decode = opus_decoder_create(RATE, 1, &error);
    int fd = udp_socket(atoi(argv[1]), atoi(argv[2]));
    snd_pcm_t *mic = open_pcm("mic", SND_PCM_STREAM_CAPTURE, 0);
    snd_pcm_t *speaker = open_pcm("speaker", SND_PCM_STREAM_PLAYBACK, SND_PCM_NONBLOCK);
    for (unsigned turn = 0;; turn++) {
        if (snd_pcm_readi(mic, sound, FRAME) < 0) {
            snd_pcm_prepare(mic);
            continue;
        }
        int size = opus_encode(encode, sound, FRAME, packet + 12, 1200);
        packet[0] = 0x80;
        packet[1] = 96;
        *(unsigned short *)(packet + 2) = htons(sequence++);
        *(unsigned *)(packet + 4) = htonl(timestamp);
        *(unsigned *)(packet + 8) = htonl(1);
        timestamp += FRAME;
        size += 12;
        if (!srtp_protect(tx, packet, &size)) (void)!send(fd, packet, size, 0);
        int frames = 0, length;
        unsigned char in[MAX_PACKET];
        if ((length = recv(fd, in, sizeof in, 0)) > 12 && !srtp_unprotect(rx, in, &length))
            frames = opus_decode(decode, in + 12, length - 12, decoded, 6 * FRAME, 0);
        if (frames > 0 && !connected) {
            connected = 1;
            puts("connected");
            fflush(stdout);
        }
        if (frames <= 0) frames = opus_decode(decode, NULL, 0, decoded, FRAME, 0);
        if (!playing || snd_pcm_writei(speaker, decoded, frames) == -EPIPE) {
            short silence[FILL_FRAMES] = {0};
            snd_pcm_prepare(speaker);
            snd_pcm_writei(speaker, silence, FILL_FRAMES - FRAME / 2);
            snd_pcm_writei(speaker, decoded, frames);
            playing = 1;
        }
        if (turn % 50 == 0) {
            struct pollfd stdin_fd = {0, POLLIN | POLLHUP, 0};
            char byte;
            if (poll(&stdin_fd, 1, 0) > 0 && read(0, &byte, 1) <= 0) return 0;
        }
    }
}
